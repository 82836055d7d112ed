"""The next day goes on from the newest order, and does what real days do."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from local_totesys.generator import SourceError
from local_totesys.next_day import DayReport, next_day

MONDAY = date(2026, 3, 16)  # The history ends on the Friday before.


def rows(connection: Any, query: str) -> list[tuple[Any, ...]]:
    with connection, connection.cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())


def snapshot(connection: Any) -> dict[str, dict[int, tuple[Any, ...]]]:
    tables = ("sales_order", "purchase_order", "design", "address")
    return {
        table: {row[0]: row for row in rows(connection, f"SELECT {table}_id, last_updated, {table}::text FROM {table}")} for table in tables
    }


@pytest.fixture
def lived(living: Any) -> tuple[Any, DayReport]:
    return living, next_day(living, seed=3)


def test_the_day_after_a_friday_is_monday(lived: tuple[Any, DayReport]) -> None:
    assert lived[1].day == MONDAY


def test_new_orders_have_transaction_and_payment(lived: tuple[Any, DayReport]) -> None:
    connection, report = lived
    for table in ("transaction", "payment"):
        assert rows(connection, f"SELECT count(*) FROM {table} WHERE created_at::date = '2026-03-16'") == [(report.orders,)]
    assert 20 < report.orders < 40


def test_due_payments_are_made_in_one_batch(lived: tuple[Any, DayReport]) -> None:
    connection, report = lived
    batch = "SELECT count(*), count(DISTINCT last_updated), min(to_char(last_updated, 'HH24:MI')) FROM payment WHERE paid"
    assert rows(connection, f"{batch} AND last_updated >= '2026-03-16'") == [(report.payments_made, 1, "07:55")]
    assert report.payments_made > 0


def test_some_edits_are_stamped_and_some_are_silent(living: Any) -> None:
    before = snapshot(living)
    report = next_day(living, seed=3)
    after = snapshot(living)
    changed = [(table, old, after[table][key]) for table in before for key, old in before[table].items() if old != after[table][key]]
    silent = [table for table, old, new in changed if old[1] == new[1]]
    stamped = [table for table, old, new in changed if old[1] != new[1]]
    assert len(silent) == report.silent_edits > 0
    assert len(stamped) == report.edits + report.address_changes
    assert stamped.count("address") == 1


def test_days_follow_each_other_with_new_designs_and_counterparties_now_and_then(living: Any) -> None:
    reports = [next_day(living) for _ in range(15)]
    assert [report.day.isoweekday() for report in reports] == [1, 2, 3, 4, 5] * 3
    assert 0 < sum(report.new_designs for report in reports) < 15
    assert sum(report.new_counterparties for report in reports) < 15


def test_an_empty_source_has_no_next_day(source: Any) -> None:
    connection = source.connect()
    with pytest.raises(SourceError, match="run generate first"):
        next_day(connection)
    connection.close()
