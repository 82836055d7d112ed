"""What is set at the source for time zones, formats, limits and clocks changes nothing of what a batch says."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from totesys.contracts import Column
from totesys.ingest import source
from totesys.lake import layout

from tests.ingest.designs import insert, rename

ODD = {
    "TimeZone": "'Asia/Kathmandu'",
    "DateStyle": "German, DMY",
    "IntervalStyle": "'sql_standard'",
    "lc_monetary": "'POSIX'",
    "lc_numeric": "'POSIX'",
    "lc_time": "'POSIX'",
    "extra_float_digits": "'-15'",
    "bytea_output": "'escape'",
    "xmlbinary": "'hex'",
    "lc_messages": "'POSIX'",
    "client_encoding": "'LATIN1'",
    "search_path": "'pg_catalog'",
    "row_security": "'on'",
    "standard_conforming_strings": "'off'",
    "transform_null_equals": "'on'",
    "quote_all_identifiers": "'on'",
    "default_transaction_isolation": "'read committed'",
    "default_transaction_read_only": "'off'",
    "statement_timeout": "'1ms'",
    "lock_timeout": "'1ms'",
    "idle_in_transaction_session_timeout": "'1ms'",
    # Between its connection and its first statement, a session on a busy machine may be idle for a while.
    "idle_session_timeout": "'5s'",
    "transaction_timeout": "'5s'",
}
# Types that the lake keeps as PostgreSQL's text, whose text depends on settings: the value, and its text.
TEXTS = {
    "double precision": ("0.1::float8 + 0.2::float8", "0.30000000000000004"),
    "real": ("1.1", "1.1"),
    "interval": ("'1 year 2 days 03:04:05.006'", "1 year 2 days 03:04:05.006"),
    "bytea": ("'\\xdeadbeef00'::bytea", "\\xdeadbeef00"),
    "timestamp with time zone": ("'2024-07-05 09:00:00.123+02'", "2024-07-05 07:00:00.123+00"),
    "date": ("'2024-07-05'", "2024-07-05"),
    "regclass": ("'public.design'", "design"),
    "double precision[]": ("ARRAY[0.1::float8 + 0.2::float8]", "{0.30000000000000004}"),
}
PLACES = ["DATABASE {database}", "ROLE ingest_reader IN DATABASE {database}"]


@pytest.mark.parametrize("place", PLACES)
def test_what_is_set_for_the_database_or_the_role_changes_no_value(ingest: Any, place: str) -> None:
    ingest.execute(
        insert(1), rename(1, "Świętokrzyskie O''Keefe"), "UPDATE design SET created_at = '1999-12-31 23:59:59.999' WHERE design_id = 1"
    )
    place = place.format(database=ingest.source.dbname)
    ingest.execute_as_superuser(*(f"ALTER {place} SET {name} = {value}" for name, value in ODD.items()))
    batch = ingest.tick()
    row = ingest.rows(batch, "design")[0]
    assert (row["design_name"], row["created_at"]) == ("Świętokrzyskie O'Keefe", datetime(1999, 12, 31, 23, 59, 59, 999000))
    assert row["last_updated"] == datetime(2024, 1, 5, 9, 0, 0, 123000)
    age = datetime.now(timezone.utc) - datetime.fromisoformat(batch.snapshot_at)
    assert batch.snapshot_at.endswith("+00:00")
    assert timedelta() <= age < timedelta(minutes=1)


@pytest.mark.parametrize("place", PLACES)
def test_a_value_that_is_kept_as_text_has_the_same_text_whatever_is_set(ingest: Any, place: str) -> None:
    design = ingest.only("design").contracts["design"]
    extra = [Column(f"c{number}", "string", True, "A text.", source_type=type_) for number, type_ in enumerate(TEXTS)]
    ingest.contracts["design"] = replace(design, columns=(*design.columns, *extra))
    added = ", ".join(f"ADD c{number} {type_} DEFAULT {value}" for number, (type_, (value, _)) in enumerate(TEXTS.items()))
    place = place.format(database=ingest.source.dbname)
    ingest.execute(insert(1), f"ALTER TABLE design {added}")
    ingest.execute_as_superuser(*(f"ALTER {place} SET {name} = {value}" for name, value in ODD.items()))
    (row,) = ingest.rows(ingest.tick(), "design")
    assert [row[column.name] for column in extra] == [text for _, text in TEXTS.values()]


def test_limits_to_idle_sessions_and_long_transactions_are_lifted(designs: Any) -> None:
    limits = ("idle_session_timeout", "transaction_timeout")
    designs.execute(*(f"ALTER DATABASE {designs.source.dbname} SET {limit} = '5s'" for limit in limits))
    with source.open_source(designs.credentials) as opened, opened.connection.cursor() as cursor:
        cursor.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [list(limits)])
        assert dict(cursor.fetchall()) == dict.fromkeys(limits, "0")


def test_a_limit_to_the_length_of_transactions_does_not_break_off_the_run(designs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    designs.execute(f"ALTER ROLE ingest_reader IN DATABASE {designs.source.dbname} SET transaction_timeout = '1s'", insert(4))
    monkeypatch.setattr(source, "_SNAPSHOT", f"{source._SNAPSHOT} AND pg_sleep(1.5) IS NOT NULL")
    assert designs.keys(designs.tick(), "design") == [4]


@pytest.fixture
def from_the_future(designs: Any) -> Any:
    """Ingest whose last batch was read when the source's clock was two days ahead."""
    batch = asdict(designs.newest())
    ahead = (datetime.fromisoformat(batch["snapshot_at"]) + timedelta(days=2)).isoformat(timespec="microseconds")
    batch["snapshot_at"] = ahead
    batch["tables"]["design"].update(captured_at=ahead, full_at=ahead)
    designs.raw.put(layout.manifest_key(batch["seq"]), json.dumps({"format": 1, **batch}).encode())
    return designs


def test_a_clock_that_was_set_back_costs_a_full_read_and_nothing_else(from_the_future: Any) -> None:
    ingest = from_the_future
    ingest.execute(insert(4))
    batch = ingest.tick()
    capture = batch.tables["design"]
    assert (capture.mode, ingest.keys(batch, "design")) == ("full", [1, 2, 3, 4])
    assert capture.previous_at == capture.captured_at == capture.full_at == batch.snapshot_at
    ingest.execute(insert(5))
    batch = ingest.tick()
    assert (batch.tables["design"].mode, ingest.keys(batch, "design")) == ("delta", [5])
    assert batch.tables["design"].previous_at < batch.snapshot_at


def test_a_held_table_is_not_read_because_a_clock_was_set_back(from_the_future: Any) -> None:
    ingest = from_the_future
    ingest.execute("DELETE FROM design")
    ingest.tick()
    assert ingest.newest().held["design"].since == ingest.newest().snapshot_at
