"""A table that cannot be locked, counted or read is held alone, is told once, is tried by every tick, and comes in by itself."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from totesys.ingest import source
from totesys.ingest.source import Source

from local_totesys.postgres import PostgresServer
from tests.ingest.designs import STAMP, delete, insert, rename
from tests.support.servers import restart

CURRENCY = f"INSERT INTO currency (currency_id, currency_code, created_at, last_updated) VALUES ({{}}, 'GBP', {STAMP}, {STAMP})"
DEPARTMENT = f"INSERT INTO department (department_id, department_name, created_at, last_updated) VALUES ({{}}, 'X', {STAMP}, {STAMP})"
ALERT = ("table held", "design")


@pytest.fixture
def two(ingest: Any) -> Any:
    """Ingest of designs and currencies, with designs 1 to 3 read already."""
    ingest.only("design", "currency").execute(insert(1, 2, 3))
    ingest.tick()
    return ingest


def test_a_table_that_somebody_has_locked_is_held_alone_and_comes_in_by_itself(two: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(source._OPTIONS, "lock_timeout", "50ms")
    before = two.newest().tables["design"]
    two.execute(rename(1, "Renamed"), insert(4))
    with closing(two.source.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLE design IN ACCESS EXCLUSIVE MODE")
        for key in (1, 2, 3):
            two.execute(CURRENCY.format(key))
            batch = two.tick()
            assert two.keys(batch, "currency") == [key]
    why = batch.held["design"]
    assert why.cause == "error"
    assert "did not grant a lock in time while locking design (canceling statement due to lock timeout, SQLSTATE 55P03)" in why.reason
    assert why.cure == "the next run tries again, or end the session that holds the lock"
    assert why.since < batch.snapshot_at
    assert (batch.tables["design"].capture_xmin, batch.tables["design"].row_count) == (before.capture_xmin, 3)
    assert two.alerts() == [ALERT]
    batch = two.tick()
    assert (batch.held, batch.tables["design"].mode, two.keys(batch, "design")) == ({}, "full", [1, 2, 3, 4])
    two.execute(insert(5))
    batch = two.tick()
    assert (batch.tables["design"].mode, two.keys(batch, "design")) == ("delta", [5])


def test_rows_that_are_gone_when_a_table_can_be_read_again_still_need_a_persons_word(two: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(source._OPTIONS, "lock_timeout", "50ms")
    with closing(two.source.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLE design IN ACCESS EXCLUSIVE MODE")
        assert two.tick().held["design"].cause == "error"
    two.execute(delete(1, 2))
    assert two.tick().held["design"].cause == "deletes"
    assert two.alerts() == [ALERT, ALERT]


def test_a_table_that_cannot_be_read_at_first_is_held_and_comes_in_whole(ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(source._OPTIONS, "lock_timeout", "50ms")
    ingest.only("design", "currency").execute(insert(1), CURRENCY.format(1))
    with closing(ingest.source.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLE design IN ACCESS EXCLUSIVE MODE")
        batch = ingest.tick()
    assert (list(batch.held), list(batch.tables)) == (["design"], ["currency"])
    assert ingest.keys(ingest.tick(), "design") == [1]


def test_a_table_with_rights_on_every_column_and_not_on_the_table_is_held_with_what_to_grant(two: Any) -> None:
    columns = "design_id, created_at, last_updated, design_name, file_location, file_name"
    two.execute(
        "REVOKE SELECT ON design FROM ingest_reader", f"GRANT SELECT ({columns}) ON design TO ingest_reader", insert(4), CURRENCY.format(1)
    )
    batch = two.tick()
    assert two.keys(batch, "currency") == [1]
    reason = "design: expected SELECT for our role on the whole table, found SELECT on single columns alone (table_unreadable)"
    assert batch.held["design"].reason == reason
    two.execute("GRANT SELECT ON design TO ingest_reader")
    assert two.keys(two.tick(), "design") == [1, 2, 3, 4]


def test_rows_that_a_role_may_not_see_yet_go_to_the_dead_letter_once_it_may(two: Any) -> None:
    two.execute("REVOKE SELECT ON design FROM ingest_reader", rename(2, "While hidden"))
    two.tick()
    two.execute("GRANT SELECT ON design TO ingest_reader", "ALTER TABLE design RENAME file_name TO filename")
    two.tick()
    assert two.letters("design") == [2]


def test_an_unlogged_table_on_a_replica_is_held_alone_with_what_to_do(ingest: Any, standby: PostgresServer) -> None:
    ingest.only("payment", "department", "currency").execute(CURRENCY.format(1), DEPARTMENT.format(1))
    ingest.tick()
    ingest.execute("ALTER TABLE payment SET UNLOGGED", CURRENCY.format(2), DEPARTMENT.format(2))
    position = ingest.query("SELECT pg_current_wal_flush_lsn()::text")[0][0]
    with closing(standby.connect("postgres")) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        deadline, caught_up = time.monotonic() + 60, False
        while not caught_up:
            assert time.monotonic() < deadline, "the standby does not catch up"
            cursor.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", [position])
            ((caught_up,),) = cursor.fetchall()
    ingest.read_from(standby)
    batch = ingest.tick()
    assert (ingest.keys(batch, "currency"), ingest.keys(batch, "department")) == ([2], [2])
    assert list(batch.held) == ["payment"]
    assert "cannot access temporary or unlogged relations during recovery, SQLSTATE 0A000" in batch.held["payment"].reason
    assert "run ALTER TABLE … SET LOGGED at the primary" in batch.held["payment"].cure


@pytest.fixture
def damaged(designs_elsewhere: Any) -> Iterator[Any]:
    """Ingest of designs and currencies of a server on whose disk the long name of design 4 got lost; designs 1 to 3 are read already."""
    ingest = designs_elsewhere.only("design", "currency")
    server = ingest.source.server
    ingest.execute("ALTER TABLE design ALTER design_name SET STORAGE EXTERNAL", insert(4), rename(4, "n" * 10_000))
    ingest.execute_as_superuser("CHECKPOINT")
    ((path,),) = ingest.query("SELECT pg_relation_filepath(reltoastrelid) FROM pg_class WHERE relname = 'design'")
    server.stop()
    file: Path = server.folder / "data" / path
    file.write_bytes(bytes(file.stat().st_size))
    restart(server)
    return ingest


def test_a_damaged_value_holds_its_table_alone_until_it_is_mended(damaged: Any) -> None:
    for key in (1, 2):
        damaged.execute(CURRENCY.format(key))
        batch = damaged.tick()
        assert damaged.keys(batch, "currency") == [key]
    why = batch.held["design"]
    assert "has damaged data while reading design (missing chunk number 0 for toast value" in why.reason
    assert "SQLSTATE XX001" in why.reason
    assert why.cure.startswith("restore the damaged data at the source, or delete the row that cannot be read")
    assert damaged.alerts() == [ALERT]
    damaged.execute(rename(4, "Mended"))
    batch = damaged.tick()
    assert (batch.held, damaged.keys(batch, "design")) == ({}, [1, 2, 3, 4])


def test_a_damaged_table_that_drifts_is_held_for_that_and_stops_nothing_else(damaged: Any) -> None:
    damaged.execute("ALTER TABLE design RENAME file_name TO filename", CURRENCY.format(1))
    batch = damaged.tick()
    assert (damaged.keys(batch, "currency"), batch.held["design"].cause, damaged.letters("design")) == ([1], "drift", [])
    damaged.execute(rename(4, "Mended"))
    assert damaged.tick().held["design"].dead_rows == 1
    assert damaged.letters("design") == [4]


def test_an_alert_of_a_damaged_table_says_what_to_do_and_no_value(damaged: Any) -> None:
    damaged.tick()
    message = damaged.sqs.receive_message(QueueUrl=damaged.queues["alerts"])["Messages"][0]
    text = json.loads(message["Body"])["detail"]["text"]
    assert "SQLSTATE XX001" in text and "restore the damaged data at the source" in text
    assert "Design 1" not in text


def test_a_table_that_fails_at_every_tick_leaves_no_files_behind(damaged: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("totesys.ingest.landing.Landing.write", lambda landing, batch: landing.bucket.put(f"{landing.prefix}x", b""))
    damaged.tick()
    files = [key for key, _ in damaged.raw.objects("design/")]
    damaged.tick()
    assert [key for key, _ in damaged.raw.objects("design/")] == files


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of the source to count its tables, as it goes on."""
    asked: list[str] = []
    execute: Callable[..., Any] = Source._execute

    def noted(self: Source, statement: Any, doing: str, *values: Any) -> Any:
        if doing.startswith("counting"):
            asked.append(doing)
        return execute(self, statement, doing, *values)

    monkeypatch.setattr(Source, "_execute", noted)
    return asked


def test_a_quiet_tick_counts_all_tables_in_one_round_trip(two: Any, counting: list[str]) -> None:
    two.tick()
    del counting[:]
    two.tick()
    assert counting == ["counting rows and changes"]
