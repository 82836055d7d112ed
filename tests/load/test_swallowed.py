"""A trigger or a rule that keeps rows out of a table stops the load, which names the table; without it, the next load brings them in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from totesys.errors import FatalError

from tests.load.conftest import LoadHistory, goes_on_from
from tests.load.lake import PublishedLake, design, sales_order, sales_star, staff

Query = Callable[..., list[tuple]]
SWALLOW = "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
UNITS = "SELECT units_sold FROM fact_sales_order ORDER BY sales_record_id"
TOMBSTONES = "SELECT source_table, key FROM etl.tombstone"
THROUGH = "SELECT max(through_batch_seq) FROM etl.load_ledger"


@pytest.fixture(scope="module")
def ready(new_history: Callable[..., LoadHistory]) -> LoadHistory:
    """Order 1 is loaded and staff 2 is known as deleted. Then: another version of it, order 2, a new name of staff 1, designs 2 and 3;
    staff 2 is back, and payment 9 is deleted."""

    def happen(lake: PublishedLake, load: Callable[[], Any]) -> None:
        lake.publish(1, sales_star(sales_order(1)), deleted={"staff": [2]})
        load()
        tables = {
            "fact_sales_order": [sales_order(1, units_sold=43, is_reinserted=True), sales_order(2, units_sold=1)],
            "dim_staff": [staff(1, first_name="Ada")],
            "dim_design": [design(2), design(3)],
        }
        lake.publish(2, tables, deleted={"payment": [9]}, alive={"staff": [2]})

    return new_history(happen)


def trigger(table: str, when: str) -> tuple[str, str]:
    """The statements that make and drop a trigger that swallows rows."""
    return f"CREATE TRIGGER gone BEFORE {when} ON {table} FOR EACH ROW EXECUTE FUNCTION swallow()", f"DROP TRIGGER gone ON {table}"


def rule(table: str, when: str) -> tuple[str, str]:
    return f"CREATE RULE gone AS ON {when} TO {table} DO INSTEAD NOTHING", f"DROP RULE gone ON {table}"


@pytest.mark.parametrize(
    ("table", "swallow"),
    [
        ("public.fact_sales_order", trigger("fact_sales_order", "INSERT")),
        ("public.fact_sales_order", rule("fact_sales_order", "INSERT")),
        ("public.dim_staff", trigger("dim_staff", "UPDATE")),
        ("public.dim_design", trigger("dim_design", "INSERT")),
        ("etl.tombstone", trigger("etl.tombstone", "INSERT")),
        ("etl.tombstone", trigger("etl.tombstone", "DELETE")),
        ("etl.reinserted_version", trigger("etl.reinserted_version", "INSERT")),
        ("etl.load_ledger", trigger("etl.load_ledger", "INSERT")),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value[0].split()[1:6]),
)
@goes_on_from("ready")
def test_a_load_whose_rows_are_swallowed_fails_and_is_made_good_without_the_trigger(
    load: Any, query: Query, table: str, swallow: tuple[str, str]
) -> None:
    query(SWALLOW)
    make, drop = swallow
    query(make)

    with pytest.raises(FatalError, match=rf"warehouse table {table} .*(trigger|rule) gone"):
        load()
    assert (query(UNITS), query(THROUGH), query(TOMBSTONES)) == ([(42,)], [(1,)], [("staff", 2)])

    query(drop)
    load()

    assert query(UNITS) == [(42,), (43,), (1,)]
    assert query("SELECT first_name FROM dim_staff") == [("Ada",)]
    assert query("SELECT design_id FROM dim_design ORDER BY 1") == [(1,), (2,), (3,)]
    assert query(TOMBSTONES) == [("payment", 9)]


@goes_on_from("ready")
def test_a_waiting_table_that_swallows_rows_is_named(lake: PublishedLake, load: Any, query: Query) -> None:
    lake.publish(3, {"fact_sales_order": [sales_order(3, design_id=9)]})
    query(SWALLOW)
    query(trigger("etl.waiting_sales_order", "UPDATE")[0])
    load()  # nothing goes from waiting to the fact yet
    lake.publish(4, {"dim_design": [design(9)]})

    with pytest.raises(FatalError, match=r"warehouse table etl\.waiting_sales_order .*trigger gone of etl\.waiting_sales_order"):
        load()


@pytest.mark.parametrize(
    ("table", "swallow"),
    [
        ("public.fact_sales_order", trigger("fact_sales_order", "DELETE")),
        ("public.fact_sales_order", trigger("fact_sales_order", "INSERT")),
        ("public.dim_design", trigger("dim_design", "DELETE")),
        ("public.dim_staff", trigger("dim_staff", "UPDATE")),
        ("etl.load_ledger", trigger("etl.load_ledger", "DELETE")),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value[0].split()[1:6]),
)
@goes_on_from("ready")
def test_a_backfill_whose_rows_are_swallowed_fails_and_is_made_good_without_the_trigger(
    load: Any, query: Query, table: str, swallow: tuple[str, str]
) -> None:
    load()
    query("INSERT INTO dim_design VALUES (7, 'ours', 'x', 'y'); UPDATE dim_staff SET first_name = 'Wrong'")
    query(SWALLOW)
    make, drop = swallow
    query(make)

    with pytest.raises(FatalError, match=rf"warehouse table {table} .*(trigger|rule) gone"):
        load(backfill=True)
    assert query("SELECT count(*) FROM etl.load_ledger") == [(2,)]

    query(drop)
    load(backfill=True)

    assert query(UNITS) == [(42,), (43,), (1,)]
    assert query("SELECT first_name FROM dim_staff") == [("Ada",)]
    assert query("SELECT design_id FROM dim_design ORDER BY 1") == [(1,), (2,), (3,)]


@goes_on_from("ready")
def test_a_deferred_trigger_that_deletes_what_was_appended_fails_the_load(load: Any, query: Query) -> None:
    query(
        "CREATE FUNCTION undo() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN DELETE FROM fact_sales_order WHERE sales_record_id = NEW.sales_record_id; RETURN NULL; END'"
    )
    query(
        "CREATE CONSTRAINT TRIGGER gone AFTER INSERT ON fact_sales_order DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION undo()"
    )

    with pytest.raises(FatalError, match=r"warehouse table public\.fact_sales_order .*trigger gone"):
        load()
