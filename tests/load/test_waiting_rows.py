"""Facts whose parents are not in the warehouse wait there, and go in once the parents come: exactly once, in the order of batches."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from tests.load.conftest import LoadHistory, goes_on_from
from tests.load.lake import PublishedLake, currency, design, location, payment, payment_star, sales_order, sales_star

ORDERS = "SELECT sales_order_id, units_sold FROM fact_sales_order ORDER BY sales_record_id"
WAITING = "SELECT sales_order_id, batch_seq, waits_for FROM etl.waiting_sales_order WHERE went_in_after IS NULL ORDER BY 1, 2"
ENDS = "SELECT load_seq, last_record_ids -> 'fact_sales_order' FROM etl.load_ledger ORDER BY 1"


def _let_an_order_wait(lake: PublishedLake, load: Callable[[], Any]) -> None:
    lake.publish(1, sales_star(sales_order(1)))
    load()
    lake.publish(2, {"fact_sales_order": [sales_order(2, design_id=11), sales_order(3)]})
    load()


@pytest.fixture(scope="module")
def waiting_order(new_history: Callable[..., LoadHistory]) -> LoadHistory:
    """Order 1 is in; order 2 waits for its design since batch 2, which brought order 3 as well."""
    return new_history(_let_an_order_wait)


@goes_on_from("waiting_order")
def test_an_order_without_its_parent_waits_and_the_others_go_in(query):
    assert query(ORDERS) == [(1, 42), (3, 42)]
    assert query(WAITING) == [(2, 2, ["dim_design"])]
    assert query("SELECT rows FROM etl.load_ledger WHERE load_seq = 2") == [({"fact_sales_order": 1},)]


@goes_on_from("waiting_order")
def test_it_goes_in_with_the_load_that_brings_its_parent(lake, load, query):
    lake.publish(3, {"dim_design": [design(11)]})

    load()
    load()

    assert query(ORDERS) == [(1, 42), (3, 42), (2, 42)]
    assert query(WAITING) == []
    assert query(ENDS) == [(1, 1), (2, 2), (3, 3)]
    assert query("SELECT rows FROM etl.load_ledger WHERE load_seq = 3") == [({"dim_design": 1, "fact_sales_order": 1},)]


@goes_on_from("waiting_order")
def test_a_load_that_brings_something_else_leaves_it_waiting(lake, load, query):
    lake.publish(3, {"dim_design": [design(12)]})

    load()

    assert query(WAITING) == [(2, 2, ["dim_design"])]


@goes_on_from("waiting_order")
def test_a_later_version_waits_behind_an_earlier_one_and_both_go_in_in_order(lake, load, query):
    lake.publish(3, {"fact_sales_order": [sales_order(2, units_sold=3)]})
    load()
    assert query(WAITING) == [(2, 2, ["dim_design"]), (2, 3, [])]
    lake.publish(4, {"dim_design": [design(11)], "fact_sales_order": [sales_order(2, units_sold=4), sales_order(1, units_sold=4)]})

    load()

    assert query(ORDERS) == [(1, 42), (3, 42), (2, 42), (2, 3), (1, 4), (2, 4)]


def test_versions_before_the_one_that_waits_go_in(lake, load, query):
    lake.publish(1, sales_star(sales_order(1)))
    lake.publish(2, {"fact_sales_order": [sales_order(1, units_sold=2, design_id=11)]})
    lake.publish(3, {"fact_sales_order": [sales_order(1, units_sold=3)]})

    load()

    assert query(ORDERS) == [(1, 42)]
    assert query(WAITING) == [(1, 2, ["dim_design"]), (1, 3, [])]


@goes_on_from("waiting_order")
def test_one_parent_of_two_is_not_enough(lake, load, query):
    lake.publish(3, {"fact_sales_order": [sales_order(4, design_id=11, currency_id=2)]})
    load()
    lake.publish(4, {"dim_currency": [currency(2)]})

    load()

    assert query(WAITING) == [(2, 2, ["dim_design"]), (4, 3, ["dim_design"])]


def test_every_fact_has_rows_that_wait(lake, load, query):
    lake.publish(1, payment_star(payment(1), payment(2, transaction_id=2)))

    load()

    assert query("SELECT payment_id FROM fact_payment") == [(1,)]
    assert query("SELECT payment_id, waits_for FROM etl.waiting_payment") == [(2, ["dim_transaction"])]


def test_new_rows_that_wait_are_told_of_once(lake, load, caplog):
    lake.publish(1, sales_star(sales_order(1), sales_order(2, design_id=11), sales_order(3, design_id=12, currency_id=2)))

    with caplog.at_level(logging.WARNING):
        load()
        lake.publish(2, {"dim_location": [location(2)]})
        load()

    [told] = [record.getMessage() for record in caplog.records if record.getMessage().startswith("alert")]
    assert told.startswith(
        "alert, rows wait for a parent: fact_sales_order: 2 rows wait for parents that the warehouse lacks: dim_currency (1),"
        " dim_design (2). Nothing is lost"
    )
    assert "To see the rows: scripts/totesys deadletters list" in told


@goes_on_from("waiting_order")
def test_of_two_loads_at_once_one_lets_it_in(lake, query, run_until_merge):
    lake.publish(3, {"dim_design": [design(11)]})

    first, second = run_until_merge(2, lambda: None)

    assert first == second
    assert query(ORDERS) == [(1, 42), (3, 42), (2, 42)]


@pytest.fixture(scope="module")
def released_order(new_history: Callable[..., LoadHistory]) -> LoadHistory:
    """Load 3 let order 2 of batch 2 in, beside order 4 of its own; load 4 brought a version of order 1, load 5 one that waits."""

    def happen(lake: PublishedLake, load: Callable[[], Any]) -> None:
        _let_an_order_wait(lake, load)
        lake.publish(3, {"dim_design": [design(11)], "fact_sales_order": [sales_order(4)]})
        load()
        lake.publish(4, {"fact_sales_order": [sales_order(1, units_sold=4)]})
        load()
        lake.publish(5, {"fact_sales_order": [sales_order(1, units_sold=5, design_id=12)]})
        load()

    return new_history(happen)


@goes_on_from("released_order")
@pytest.mark.parametrize(
    ("asked", "orders"),
    [
        ({}, [(1, 42), (2, 42), (3, 42), (4, 42), (1, 4)]),
        ({"backfill_from": 2}, [(1, 42), (2, 42), (3, 42), (4, 42), (1, 4)]),
        ({"backfill_from": 3}, [(1, 42), (3, 42), (2, 42), (4, 42), (1, 4)]),
        ({"backfill_from": 4}, [(1, 42), (3, 42), (2, 42), (4, 42), (1, 4)]),
        ({"backfill_from": 5}, [(1, 42), (3, 42), (2, 42), (4, 42), (1, 4)]),
        ({"backfill_table": "sales_order"}, [(1, 42), (2, 42), (3, 42), (4, 42), (1, 4)]),
        ({"backfill_table": "sales_order", "backfill_from": 3}, [(1, 42), (3, 42), (2, 42), (4, 42), (1, 4)]),
        ({"backfill_table": "sales_order", "backfill_from": 6}, [(1, 42), (3, 42), (2, 42), (4, 42), (1, 4)]),
        ({"backfill_table": "dim_location"}, [(1, 42), (3, 42), (2, 42), (4, 42), (1, 4)]),
    ],
    ids=str,
)
def test_a_backfill_brings_back_what_waited_once(load, lake, query, asked, orders):
    load(backfill=True, **asked)

    assert query(ORDERS) == orders
    assert query(WAITING) == [(1, 5, ["dim_design"])]
    lake.publish(6, {"dim_design": [design(12)]})
    load()
    load()
    assert query(ORDERS) == [*orders, (1, 5)]


@goes_on_from("released_order")
@pytest.mark.parametrize("first", [2, 3, 4, 5])
def test_after_a_fact_was_rebuilt_a_backfill_from_any_batch_still_brings_back_each_row_once(load, query, first):
    load(backfill=True, backfill_table="sales_order")
    before = query(ORDERS)

    load(backfill=True, backfill_from=first)

    assert query(ORDERS) == before
    assert query(WAITING) == [(1, 5, ["dim_design"])]


@goes_on_from("released_order")
def test_the_ledger_knows_where_each_load_ends_after_a_fact_was_rebuilt_with_rows_that_waited(load, query):
    load(backfill=True, backfill_table="sales_order", backfill_from=3)

    ids = [record_id for (record_id,) in query("SELECT sales_record_id FROM fact_sales_order ORDER BY 1")]
    # Order 2 of batch 2 went in after load 2; batch 3 ends with order 4, and batch 5 waits.
    assert query(ENDS) == [(1, 1), (2, 2), (3, ids[3]), (4, ids[4]), (5, ids[4])]


@goes_on_from("waiting_order")
def test_a_row_that_a_fact_rebuilt_let_in_does_not_go_in_again(lake, load, query):
    lake.publish(3, {"dim_design": [design(11)]})
    query("INSERT INTO dim_design VALUES (11, 'Wooden', '/usr', 'wooden-1.json')")

    load(backfill=True, backfill_table="fact_sales_order", backfill_from=3)

    assert query(ORDERS) == [(1, 42), (3, 42), (2, 42)]
