"""Kinds of change at the source beyond late commits: each is landed once, and what is no change is not landed."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from totesys.errors import BadDataError
from totesys.ingest.source import Source

from tests.ingest.designs import STAMP, delete, insert, prepared, rename, transaction

RELOAD = ("TRUNCATE design CASCADE", insert(1, 2, 3, 4))


def test_prepared_transactions_stay_open_over_several_batches_until_they_are_committed_or_rolled_back(designs: Any) -> None:
    with prepared(designs.source, "kept", insert(4), rename(1, "Kept")) as kept, prepared(designs.source, "undone", insert(5)) as undone:
        for key in (6, 7, 8):
            designs.execute(insert(key))
            assert designs.keys(designs.tick(), "design") == [key]
        undone.tpc_rollback()
        assert designs.keys(designs.tick(), "design") == []
        kept.tpc_commit()
    assert designs.keys(designs.tick(), "design") == [1, 4]
    assert designs.keys(designs.tick(), "design") == []


def test_subtransactions_of_which_some_were_rolled_back_are_read_without_those(designs: Any) -> None:
    block = "BEGIN {}; {} EXCEPTION WHEN raise_exception THEN {}; END;"
    undone = block.format(insert(4), "RAISE 'no';", insert(5))
    kept = block.format(insert(6), block.format(rename(1, "Never"), "RAISE 'no';", rename(2, "Instead")), insert(7))
    with transaction(designs.source) as early:
        early.execute(f"DO $$ BEGIN {undone} {kept} END $$")
        designs.execute(insert(8))
        assert designs.keys(designs.tick(), "design") == [8]
    batch = designs.tick()
    assert designs.keys(batch, "design") == [2, 5, 6]
    assert designs.rows(batch, "design")[0]["design_name"] == "Instead"
    assert designs.keys(designs.tick(), "design") == []


def test_a_row_that_is_touched_without_a_change_is_landed_as_a_new_version(designs: Any) -> None:
    designs.execute("UPDATE design SET design_name = design_name WHERE design_id = 2")
    assert designs.keys(designs.tick(), "design") == [2]


def test_an_update_of_all_rows_is_a_delta_of_all_rows(designs: Any) -> None:
    designs.execute("UPDATE design SET file_location = '/new'")
    batch = designs.tick()
    assert (batch.tables["design"].mode, designs.keys(batch, "design")) == ("delta", [1, 2, 3])


@pytest.mark.parametrize(
    "statement",
    ["VACUUM FULL design", "CLUSTER design USING design_pkey", "VACUUM (FREEZE) design", "SELECT * FROM design FOR UPDATE"],
)
def test_what_moves_or_locks_rows_without_changing_them_is_no_change(designs: Any, statement: str) -> None:
    with transaction(designs.source) as early:
        early.execute("SELECT pg_current_xact_id()")
        designs.execute(insert(4))
        assert designs.keys(designs.tick(), "design") == [4]
        with closing(designs.source.connect()) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            cursor.execute(statement)
        batch = designs.tick()
        assert (batch.tables["design"].mode, designs.keys(batch, "design")) == ("delta", [])


def test_a_key_that_changes_brings_the_rows_along_that_refer_to_it(ingest: Any) -> None:
    departments = ", ".join(f"({key}, 'Department {key}', {STAMP}, {STAMP})" for key in range(1, 7))
    ingest.only("department", "staff").execute(
        f"INSERT INTO department (department_id, department_name, created_at, last_updated) VALUES {departments}",
        "INSERT INTO staff (staff_id, first_name, last_name, department_id, email_address, created_at, last_updated) "
        f"VALUES (1, 'A', 'B', 1, 'a@b', {STAMP}, {STAMP}), (2, 'C', 'D', 2, 'c@d', {STAMP}, {STAMP})",
    )
    ingest.tick()
    ingest.execute("UPDATE department SET department_id = 10 WHERE department_id = 1")
    batch = ingest.tick()
    assert (batch.tables["department"].mode, ingest.keys(batch, "department")) == ("full", [2, 3, 4, 5, 6, 10])
    assert (batch.tables["staff"].mode, [(row["staff_id"], row["department_id"]) for row in ingest.rows(batch, "staff")]) == (
        "delta",
        [(1, 10)],
    )


def test_a_row_deleted_in_one_batch_and_inserted_again_in_the_next_is_landed_again(designs: Any) -> None:
    designs.execute(insert(4, 5, 6))
    designs.tick()
    designs.execute(delete(2))
    assert designs.keys(designs.tick(), "design") == [1, 3, 4, 5, 6]
    designs.execute(insert(2))
    batch = designs.tick()
    assert (batch.tables["design"].mode, designs.keys(batch, "design")) == ("delta", [2])


def test_a_row_inserted_and_deleted_between_two_batches_was_never_there(designs: Any) -> None:
    designs.execute(insert(4))
    designs.execute(delete(4))
    batch = designs.tick()
    assert (batch.tables["design"].mode, designs.keys(batch, "design")) == ("delta", [])


def test_rows_loaded_frozen_are_read(designs: Any) -> None:
    with transaction(designs.source) as cursor:
        cursor.execute("TRUNCATE design CASCADE")
        rows = "".join(f"{key},Loaded,/usr,d.json,2024-01-05,2024-01-05\n" for key in (1, 2, 3))
        columns = "(design_id, design_name, file_location, file_name, created_at, last_updated)"
        cursor.copy_expert(f"COPY design {columns} FROM STDIN (FORMAT csv, FREEZE)", io.StringIO(rows))
    assert {row["design_name"] for row in designs.rows(designs.tick(), "design")} == {"Loaded"}


@pytest.fixture
def beside() -> Iterator[ThreadPoolExecutor]:
    """What runs beside the test."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


def until_a_session_waits(source: Any) -> None:
    """Returns once a session of the source waits for a lock. Only a superuser sees what other roles' sessions wait for."""
    deadline = time.monotonic() + 30
    with closing(source.connect_as_superuser()) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        while not cursor.rowcount > 0:
            assert time.monotonic() < deadline
            cursor.execute("SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")


@pytest.fixture
def while_read(designs: Any, beside: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """One batch that reads the table while another session tries to commit something and waits for the batch."""

    def tick(*statements: str) -> Any:
        copy, others = Source.copy, list[Future[None]]()

        def copy_while_another_waits(*arguments: Any) -> None:
            others.append(beside.submit(designs.execute, *statements))
            until_a_session_waits(designs.source)
            copy(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(Source, "copy", copy_while_another_waits)
            batch = designs.tick()
        for other in others:
            other.result()
        assert len(others) == 1
        return batch

    return tick


def test_a_table_reloaded_before_the_batch_could_lock_it_is_read_as_reloaded(designs: Any, beside: ThreadPoolExecutor) -> None:
    with transaction(designs.source) as reload:
        for statement in RELOAD:
            reload.execute(statement)
        batch = beside.submit(designs.tick)
        until_a_session_waits(designs.source)
    assert designs.keys(batch.result(), "design") == [1, 2, 3, 4]
    assert designs.keys(designs.tick(), "design") == []


def test_a_table_reloaded_while_it_is_read_is_read_as_it_was_and_then_as_reloaded(designs: Any, while_read: Callable[..., Any]) -> None:
    designs.execute(rename(1, "Renamed"))
    batch = while_read(*RELOAD)
    assert [row["design_name"] for row in designs.rows(batch, "design")] == ["Renamed"]
    batch = designs.tick()
    assert [row["design_name"] for row in designs.rows(batch, "design")] == ["Design 1", "Design 2", "Design 3", "Design 4"]


def test_row_level_security_holds_the_table_and_once_it_is_off_nothing_is_missing(designs: Any, while_read: Callable[..., Any]) -> None:
    designs.execute(insert(4))
    batch = while_read("ALTER TABLE design ENABLE ROW LEVEL SECURITY", insert(5))
    assert designs.keys(batch, "design") == [4]
    designs.execute("CREATE POLICY few ON design USING (design_id < 3)", rename(1, "While hidden"))
    for _ in range(2):
        assert "row level security hides rows from our role" in designs.tick().held["design"].reason
    designs.execute("ALTER TABLE design DISABLE ROW LEVEL SECURITY")
    batch = designs.tick()
    assert (batch.held, designs.keys(batch, "design")) == ({}, [1, 2, 3, 4, 5])


@pytest.mark.parametrize(
    ("change", "drift", "taken_back"),
    [
        ("ALTER TABLE design ADD note text", {}, "ALTER TABLE design DROP note"),
        ("ALTER TABLE design ALTER file_name DROP NOT NULL", {}, "ALTER TABLE design ALTER file_name SET NOT NULL"),
        ("ALTER TABLE design RENAME file_name TO filename", {}, "ALTER TABLE design RENAME filename TO file_name"),
        ("ALTER TABLE design ADD note text", {"column_added": "fail"}, "ALTER TABLE design DROP note"),
    ],
    ids=["ignore", "evolve", "hold", "fail"],
)
def test_a_structure_that_is_changed_while_its_table_is_read_has_its_outcome_in_the_next_batch(
    designs: Any, while_read: Callable[..., Any], request: pytest.FixtureRequest, change: str, drift: dict[str, str], taken_back: str
) -> None:
    outcome = request.node.callspec.id
    designs.contracts = {"design": replace(designs.contracts["design"], drift=drift)}
    designs.execute(insert(4))
    batch = while_read(change)
    assert (designs.keys(batch, "design"), batch.held, batch.drift) == ([4], {}, {})
    if outcome == "fail":
        with pytest.raises(BadDataError, match="Nothing was read"):
            designs.tick()
    else:
        batch = designs.tick()
        assert (list(batch.held), list(batch.drift)) == ((["design"], []) if outcome == "hold" else ([], ["design"]))
    designs.execute(taken_back, insert(5))
    batch = designs.tick()
    assert (batch.held, batch.drift) == ({}, {})
    assert 5 in designs.keys(batch, "design") and batch.tables["design"].row_count == 5
