"""The warehouse, or a part of it, rebuilt from the lake: the rows are those of the loads that there were, and readers notice nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from pyspark.sql import SparkSession
from totesys.contracts import load_contracts
from totesys.errors import BadDataError, FatalError, RetriableError
from totesys.runtime.run_request import RunRequest

from tests.load.conftest import STAGING, LoadHistory
from tests.load.lake import PublishedLake, location, payment, payment_star, sales_order, sales_star
from tests.support.local_aws.machine import wait_until

State = dict[str, list[tuple]]
SALES = "SELECT sales_record_id, xmin::text FROM fact_sales_order ORDER BY 1"


@pytest.fixture(scope="module")
def four_batches(new_history: Callable[..., LoadHistory]) -> LoadHistory:
    """A lake with four batches, and a warehouse that three loads brought them into: 1, 2 with 3, 4."""

    def happen(lake: PublishedLake, load: Callable[[], Any]) -> None:
        lake.publish(
            1,
            sales_star(*map(sales_order, (3, 1, 2))) | payment_star(payment(1), payment(2)),
            alive={"sales_order": [1, 2, 3], "payment": [1]},
        )
        load()
        lake.publish(2, {"fact_sales_order": [sales_order(4), sales_order(1, units_sold=2)], "dim_location": [location(2)]})
        lake.publish(3, {"fact_payment": [payment(1, paid=True)]}, deleted={"payment": [2], "sales_order": [3]})
        load()
        lake.publish(
            4,
            {
                "fact_sales_order": [sales_order(2, units_sold=4)],
                "fact_payment": [payment(2, is_reinserted=True)],
                "dim_location": [location(1, city="X")],
            },
            alive={"payment": [2]},
        )
        load()

    return new_history(happen)


@pytest.fixture
def history(four_batches: LoadHistory) -> LoadHistory:
    """What all these tests go on from."""
    return four_batches


@pytest.fixture
def state(query: Callable[..., list[tuple]]) -> Callable[[], State]:
    """What the warehouse holds, record ids apart: facts in the order of their ids, all else in the order of its keys."""

    def read() -> State:
        found = {table: query(f"SELECT * FROM etl.{table} ORDER BY 1, 2") for table in ("tombstone", "reinserted_version")}
        for table, contract in load_contracts().warehouse.items():
            columns = ", ".join(column.name for column in contract.lake_columns)
            found[table] = query(f"SELECT {columns} FROM {table} ORDER BY {contract.key}")
        return found

    return read


@pytest.fixture
def damage(query: Callable[..., list[tuple]]) -> Callable[[], Any]:
    """Spoils the warehouse: rows lost, rows twice, wrong values, wrong tombstones; in facts as of load 3 alone."""
    return lambda: query(
        "UPDATE fact_sales_order SET units_sold = 0 WHERE sales_record_id > 5;"
        "DELETE FROM fact_payment WHERE payment_record_id > 3;"
        "INSERT INTO fact_sales_order (sales_order_id, created_date, created_time, last_updated_date, last_updated_time, sales_staff_id,"
        " counterparty_id, units_sold, unit_price, currency_id, design_id, agreed_payment_date, agreed_delivery_date,"
        " agreed_delivery_location_id) SELECT 7, created_date, created_time, last_updated_date, last_updated_time, sales_staff_id,"
        " counterparty_id, units_sold, unit_price, currency_id, design_id, agreed_payment_date, agreed_delivery_date, 1"
        " FROM fact_sales_order LIMIT 1;"
        "UPDATE dim_location SET city = 'Y' WHERE location_id = 1;"
        "DELETE FROM etl.tombstone; INSERT INTO etl.tombstone VALUES ('payment', 1, 4), ('staff', 1, 1);"
        "UPDATE etl.reinserted_version SET key = 1"
    )


def test_all_of_a_warehouse_is_rebuilt(load, state, damage, query):
    before = state()
    damage()
    query("DELETE FROM dim_location WHERE location_id = 2; INSERT INTO dim_design VALUES (9, 'ours', 'x', 'y')")

    load(backfill=True)

    assert state() == before
    assert query("SELECT load_seq, first_batch_seq, through_batch_seq FROM etl.load_ledger") == [(4, 1, 4)]
    assert query(STAGING) == []


def test_from_a_batch_on_only_what_came_since_is_rebuilt(load, state, damage, query):
    before, kept = state(), query(SALES)[:5]
    damage()

    load(backfill=True, backfill_from=4)

    assert state() == before
    assert query(SALES)[:5] == kept
    assert query("SELECT load_seq, first_batch_seq, through_batch_seq FROM etl.load_ledger ORDER BY 1") == [(1, 1, 1), (2, 2, 3), (4, 4, 4)]


def test_batches_that_came_by_one_load_are_rebuilt_together(load, state, damage, query, caplog):
    before, kept = state(), query(SALES)[:3]
    damage()

    with caplog.at_level(logging.INFO):
        load(backfill=True, backfill_from=3)

    assert "backfill from batch 3: what came through batch 1 stays" in caplog.text
    assert state() == before
    assert query(SALES)[:3] == kept
    assert query("SELECT first_batch_seq, through_batch_seq FROM etl.load_ledger ORDER BY 1") == [(1, 1), (2, 4)]


def test_from_a_batch_that_the_warehouse_does_not_hold_nothing_is_rebuilt(load, state, query):
    before, ledger = state(), query("SELECT * FROM etl.load_ledger")

    load(backfill=True, backfill_from=5)

    assert (state(), query("SELECT * FROM etl.load_ledger")) == (before, ledger)


def test_without_a_load_before_the_batch_all_is_rebuilt(load, state, damage, query):
    before = state()
    damage()
    query("DELETE FROM etl.load_ledger WHERE load_seq < 3")  # as after a rebuild of everything

    load(backfill=True, backfill_from=4)

    assert state() == before
    assert query("SELECT load_seq, first_batch_seq, through_batch_seq FROM etl.load_ledger") == [(4, 1, 4)]


def test_one_fact_is_rebuilt_and_the_others_are_left_alone(load, state, query):
    before, others = state(), query("SELECT *, xmin FROM fact_payment ORDER BY 1")
    query("UPDATE fact_sales_order SET units_sold = 0; DELETE FROM etl.tombstone; INSERT INTO etl.tombstone VALUES ('staff', 1, 1)")

    load(backfill=True, backfill_table="sales_order")

    assert state() == before | {"tombstone": [("sales_order", 3, 3), ("staff", 1, 1)]}
    assert query("SELECT *, xmin FROM fact_payment ORDER BY 1") == others


def test_after_a_fact_was_rebuilt_the_ledger_knows_where_each_load_ends(load, state, query):
    before, ledger = state(), query("SELECT load_seq, publish_seq, through_batch_seq, loaded_at FROM etl.load_ledger ORDER BY 1")
    query("ALTER SEQUENCE fact_sales_order_sales_record_id_seq INCREMENT BY 7")  # a sequence may leave gaps

    load(backfill=True, backfill_table="fact_sales_order")

    first, fifth, last = (query(SALES)[n - 1][0] for n in (3, 5, 6))
    ends = query("SELECT last_record_ids FROM etl.load_ledger ORDER BY load_seq")
    assert [end["fact_sales_order"] for (end,) in ends] == [first, fifth, last]
    assert [end["fact_payment"] for (end,) in ends] == [2, 3, 4]
    assert query("SELECT load_seq, publish_seq, through_batch_seq, loaded_at FROM etl.load_ledger ORDER BY 1") == ledger
    kept = query(SALES)[:5]
    load(backfill=True, backfill_from=4)
    assert state() == before
    assert query(SALES)[:5] == kept


def test_of_one_fact_only_what_came_since_a_batch_is_rebuilt(load, state, query):
    before, kept = state(), query(SALES)[:5]
    query("DELETE FROM fact_sales_order WHERE sales_record_id = 6")

    load(backfill=True, backfill_table="fact_sales_order", backfill_from=4)

    assert state() == before
    assert query(SALES)[:5] == kept
    ends = query("SELECT last_record_ids -> 'fact_sales_order' FROM etl.load_ledger ORDER BY load_seq")
    assert ends == [(3,), (5,), (query(SALES)[5][0],)]


def test_one_dimension_gets_what_it_lacks_and_loses_what_the_lake_does_not_have(load, state, query):
    before = state()
    query("UPDATE dim_location SET city = 'Y'; DELETE FROM dim_location WHERE location_id = 2")
    query("INSERT INTO dim_location SELECT 3, address_line_1, '', '', city, '', country, phone FROM dim_location")

    load(backfill=True, backfill_table="dim_location")

    assert state() == before


def test_a_dimension_row_that_the_lake_does_not_have_stays_while_facts_refer_to_it(load, state, query):
    query("INSERT INTO dim_design VALUES (9, 'ours', 'x', 'y'), (10, 'free', 'x', 'y')")
    query("UPDATE fact_sales_order SET design_id = 9 WHERE sales_record_id < 3")
    before = state()

    with pytest.raises(
        BadDataError, match=r"dim_design has 1 rows that the lake does not have, but facts refer to them\. Nothing was changed"
    ):
        load(backfill=True, backfill_table="design")

    assert state() == before


def test_the_calendar_is_rebuilt_by_its_name(load, state, query):
    before = state()
    query("UPDATE dim_date SET quarter = 5; INSERT INTO dim_date VALUES ('2031-01-01', 2031, 1, 1, 3, 'Wednesday', 'January', 1)")

    load(backfill=True, backfill_table="dim_date")

    assert state() == before


def test_a_fact_rebuilt_gets_what_waits_in_its_turn(lake, load, state, query):
    lake.publish(5, {"fact_payment": [payment(5)], "fact_sales_order": [sales_order(5)]}, deleted={"sales_order": [1]})

    load(backfill=True, backfill_table="sales_order")

    assert [row[0] for row in state()["fact_sales_order"]] == [1, 2, 3, 1, 4, 2, 5]
    assert state()["tombstone"] == [("sales_order", 1, 5), ("sales_order", 3, 3)]
    [(ends,)] = query("SELECT last_record_ids FROM etl.load_ledger WHERE load_seq = 3")
    assert ends["fact_sales_order"] == query(SALES)[5][0]
    assert query("SELECT load_seq, first_batch_seq, rows FROM etl.load_ledger ORDER BY 1 DESC LIMIT 1") == [
        (4, 5, {"fact_payment": 1, "fact_sales_order": 1})
    ]


def test_an_empty_warehouse_is_filled(load, state, query):
    before = state()
    query("DROP SCHEMA public CASCADE; DROP SCHEMA etl CASCADE; CREATE SCHEMA public")

    load(backfill=True)

    assert state() == before


def test_facts_beside_a_lost_ledger_are_mended(load, state, query):
    before = state()
    query("DELETE FROM etl.load_ledger")

    load(backfill=True)

    assert state() == before


def test_a_warehouse_is_rebuilt_from_another_lake_only_as_a_whole(load, state, query):
    before = state()
    query("UPDATE etl.load_ledger SET lake_id = 'another'; DELETE FROM fact_payment")
    without_payments = state()

    with pytest.raises(FatalError, match="begins with batch another"):
        load(backfill=True, backfill_table="payment")
    assert state() == without_payments
    load(backfill=True)

    assert state() == before
    assert query("SELECT lake_id FROM etl.load_ledger") == [("0000000001-00000000",)]


def test_readers_see_the_old_state_until_the_new_is_there(load, state, damage, query, warehouse):
    good = state()
    damage()
    bad = state()
    holder = warehouse.connect()
    with holder.cursor() as cursor, ThreadPoolExecutor(1) as pool:
        # The backfill stops where it wants to change this row: all facts are deleted by then, but not for others.
        cursor.execute("SELECT * FROM dim_location WHERE location_id = 1 FOR UPDATE")
        backfill = pool.submit(load, backfill=True)
        waits = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'totesys-load-%%' AND wait_event_type = 'Lock'"
        try:
            wait_until("the backfill waits for the row", lambda: backfill.done() or query(waits) == [(1,)])
            query("SET lock_timeout = '1s'")
            assert state() == bad
        finally:
            holder.rollback()
        backfill.result()
    holder.close()

    assert state() == good


def other_loads_first(spark: SparkSession, query: Callable[..., list[tuple]], loads: int) -> Callable[[], SparkSession]:
    """Gives the session to a job, and each time, so many times in all, lets another load commit before the job has staged its rows."""
    left = iter(range(loads))

    def ask() -> SparkSession:
        if next(left, None) is not None:
            query("UPDATE etl.load_ledger SET load_seq = load_seq + 10")
        return spark

    return ask


def test_a_backfill_that_another_load_comes_before_is_tried_again(new_job, query, state, spark):
    before = state()
    query("UPDATE dim_location SET city = 'Y'")
    request = RunRequest(backfill=True, backfill_table="dim_location")

    replace(new_job(request=request), spark=other_loads_first(spark, query, 1)).run()

    assert state() == before


def test_a_backfill_that_other_loads_come_before_twice_is_given_up(new_job, query, state, spark):
    query("UPDATE dim_location SET city = 'Y'")
    before = state()
    request = RunRequest(backfill=True, backfill_table="dim_location")

    with pytest.raises(RetriableError, match=r"Nothing was rebuilt: start scripts/totesys backfill again"):
        replace(new_job(request=request), spark=other_loads_first(spark, query, 2)).run()

    assert state() == before
    assert query(STAGING) == []
