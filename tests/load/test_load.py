"""What loads do to the warehouse: the first, the next, the same again."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal

import pytest
from totesys.errors import FatalError, RetriableError

from tests.load.conftest import STAGING, goes_on_from
from tests.load.lake import design, location, sales_order, sales_star, staff


def test_the_first_load_fills_an_empty_warehouse(lake, load, query):
    lake.publish(1, sales_star(sales_order(1), sales_order(2)))

    loaded = load()

    assert (loaded.publish_seq, loaded.through_batch_seq) == (1, 1)
    assert query("SELECT sales_record_id, sales_order_id FROM fact_sales_order ORDER BY 1") == [(1, 1), (2, 2)]
    assert query("SELECT count(*) FROM dim_date") == [(365,)]
    assert query("SELECT to_regclass('fact_payment')") == [("fact_payment",)]


def test_without_a_publish_there_is_nothing_to_load(load, query):
    assert load().publish_seq == 0
    assert query("SELECT count(*) FROM etl.load_ledger") == [(0,)]


def test_every_type_arrives_exactly(lake, load, query):
    lake.publish(1, sales_star(sales_order(1, unit_price=Decimal("99999999.99"), agreed_delivery_date=date(2026, 12, 31))))

    load()

    assert query("SELECT * FROM fact_sales_order") == [
        (
            1, 1, date(2026, 3, 2), time(8, 0), date(2026, 3, 2), time(18, 59, 59, 999000), 1, 1, 42, Decimal("99999999.99"), 1, 1,
            date(2026, 3, 4), date(2026, 12, 31), 1,
        )
    ]  # fmt: skip
    assert query("SELECT * FROM dim_location") == [
        (1, "6826 Herzog Via", None, "Avon", "New Patienceburgh", "08841", "Democratic People's Republic of Korea", "1803 637401")
    ]
    assert query("SELECT last_name, location FROM dim_staff") == [("O'Keefe", "Leds")]
    assert query("SELECT * FROM dim_date WHERE date_id = '2026-02-28'") == [(date(2026, 2, 28), 2026, 2, 28, 6, "Saturday", "February", 1)]


def test_a_delta_adds_versions_and_leaves_history_as_it_was(lake, load, query):
    lake.publish(1, sales_star(sales_order(1, units_sold=10)))
    load()
    before = query("SELECT *, xmin FROM fact_sales_order")
    lake.publish(2, {"fact_sales_order": [sales_order(1, units_sold=11), sales_order(2)]})

    load()

    assert query("SELECT *, xmin FROM fact_sales_order WHERE sales_record_id = 1") == before
    assert query("SELECT sales_record_id, sales_order_id, units_sold FROM fact_sales_order ORDER BY 1") == [
        (1, 1, 10),
        (2, 1, 11),
        (3, 2, 42),
    ]


def test_publishes_that_waited_together_go_in_in_the_order_of_batch_and_key(lake, load, query):
    lake.publish(1, sales_star(*(sales_order(key) for key in (3, 1, 2))))
    lake.publish(2, {"fact_sales_order": [sales_order(2, units_sold=5), sales_order(1, units_sold=5)]})
    lake.publish(3, {"fact_sales_order": [sales_order(2, units_sold=6)]})

    load()

    versions = query("SELECT sales_order_id, units_sold FROM fact_sales_order ORDER BY sales_record_id")
    assert versions == [(1, 42), (2, 42), (3, 42), (1, 5), (2, 5), (2, 6)]
    assert query("SELECT publish_seq, first_batch_seq, through_batch_seq FROM etl.load_ledger") == [(3, 1, 3)]


@goes_on_from("one_order")
def test_a_dimension_holds_the_latest_state_and_new_rows(lake, load, query):
    lake.publish(2, {"dim_location": [location(1, address_line_2="Flat 2", district=None), location(2)], "dim_design": [design(2)]})

    load()

    assert query("SELECT location_id, address_line_2, district FROM dim_location ORDER BY 1") == [(1, "Flat 2", None), (2, None, "Avon")]
    assert query("SELECT count(*) FROM dim_design") == [(2,)]


def test_a_dimension_row_that_did_not_change_is_not_written(lake, load, query):
    lake.publish(1, sales_star(sales_order(1)) | {"dim_staff": [staff(1), staff(2)]})
    load()
    before = dict(query("SELECT staff_id, xmin::text FROM dim_staff"))
    lake.publish(2, {"dim_staff": [staff(1), staff(2, first_name="Ada")]})

    load()

    after = dict(query("SELECT staff_id, xmin::text FROM dim_staff"))
    assert after[1] == before[1]
    assert after[2] != before[2]
    assert query("SELECT rows FROM etl.load_ledger WHERE load_seq = 2") == [({"dim_staff": 1},)]


def test_a_load_again_changes_nothing(lake, load, query):
    lake.publish(1, sales_star(sales_order(1)))
    first = load()
    before = query("SELECT *, xmin FROM fact_sales_order"), query("SELECT * FROM etl.load_ledger")

    assert load() == first

    assert (query("SELECT *, xmin FROM fact_sales_order"), query("SELECT * FROM etl.load_ledger")) == before


@goes_on_from("one_order")
def test_a_publish_without_a_new_batch_brings_nothing(lake, load, query):
    lake.publish(1, {})

    assert load().publish_seq == 1
    assert query("SELECT count(*) FROM fact_sales_order") == [(1,)]


def test_a_lake_rebuilt_goes_on_where_the_old_one_had_come(lake, load, query):
    lake.publish(1, sales_star(sales_order(1)))
    lake.publish(2, {"fact_sales_order": [sales_order(2)]})
    load()
    lake.rebuild()
    lake.publish(3, {"fact_sales_order": [sales_order(3)]})

    load()

    assert query("SELECT sales_order_id FROM fact_sales_order ORDER BY sales_record_id") == [(1,), (2,), (3,)]
    assert query("SELECT load_seq, publish_seq, through_batch_seq FROM etl.load_ledger ORDER BY 1") == [(1, 2, 2), (2, 2, 3)]


def test_while_a_lake_rebuilt_is_behind_nothing_is_loaded_and_nothing_lost(lake, load, query):
    lake.publish(1, sales_star(sales_order(1)))
    lake.publish(2, {"fact_sales_order": [sales_order(2)]})
    load()
    lake.rebuild(through=1)

    with pytest.raises(RetriableError, match=r"holds batch 2, but the lake only holds batches through 1\. .*scripts/totesys backfill"):
        load()

    lake.publish(2, {"fact_sales_order": [sales_order(2)]})
    lake.publish(3, {"fact_sales_order": [sales_order(3)]})
    load()
    assert query("SELECT sales_order_id FROM fact_sales_order ORDER BY sales_record_id") == [(1,), (2,), (3,)]


@goes_on_from("one_order")
def test_a_lake_of_another_ingestion_bucket_is_refused(lake, load, query):
    lake.lake_id = "0000000001-another"
    lake.publish(2, {"fact_sales_order": [sales_order(2)]})

    with pytest.raises(FatalError, match=r"begins with batch 0000000001-00000000, .* batch 0000000001-another: .*scripts/totesys backfill"):
        load()

    assert query("SELECT sales_order_id FROM fact_sales_order") == [(1,)]


@goes_on_from("one_order")
def test_a_lost_warehouse_is_brought_back_by_the_next_load(lake, load, query):
    lake.publish(2, {"fact_sales_order": [sales_order(1, units_sold=5)]}, deleted={"sales_order": [1]})
    load()
    query("DROP SCHEMA public CASCADE; DROP SCHEMA etl CASCADE; CREATE SCHEMA public")

    load()

    assert query("SELECT sales_order_id, units_sold FROM fact_sales_order ORDER BY sales_record_id") == [(1, 42), (1, 5)]
    assert query("SELECT count(*) FROM dim_date") == [(365,)]
    assert query("SELECT source_table, key, batch_seq FROM etl.tombstone") == [("sales_order", 1, 2)]
    assert query("SELECT first_batch_seq, through_batch_seq FROM etl.load_ledger") == [(1, 2)]


@goes_on_from("one_order")
def test_a_publish_that_lands_during_a_load_goes_in_before_it_ends(lake, load, query, run_until_merge):
    lake.publish(2, {"fact_sales_order": [sales_order(2)]})

    [loaded] = run_until_merge(1, lambda: lake.publish(3, {"fact_sales_order": [sales_order(3)]}))

    assert loaded.publish_seq == 3
    assert query("SELECT sales_order_id FROM fact_sales_order ORDER BY sales_record_id") == [(1,), (2,), (3,)]


def test_the_ledger_says_when_in_utc_and_how_much(lake, load, query):
    lake.publish(1, sales_star(sales_order(1)))

    load()

    [(publish_id, loaded_at, rows)] = query("SELECT publish_id, loaded_at, rows FROM etl.load_ledger")
    assert publish_id == "0000000001-00000000"
    assert abs((datetime.now(loaded_at.tzinfo) - loaded_at).total_seconds()) < 60
    assert rows["fact_sales_order"] == 1
    assert rows["dim_date"] == 365


def test_the_ledger_says_where_the_lake_begins_and_where_the_rows_of_each_load_end(lake, load, query):
    lake.publish(1, sales_star(sales_order(1), sales_order(2)))
    load()
    lake.publish(2, {"fact_sales_order": [sales_order(3)]})

    load()

    ledger = query("SELECT load_seq, lake_id, last_record_ids FROM etl.load_ledger ORDER BY 1")
    empty = {"fact_payment": 0, "fact_purchase_orders": 0}
    assert ledger == [
        (1, "0000000001-00000000", {"fact_sales_order": 2, **empty}),
        (2, "0000000001-00000000", {"fact_sales_order": 3, **empty}),
    ]


def test_nothing_of_staging_is_left_after_a_load(lake, load, query):
    lake.publish(1, sales_star(sales_order(1)))

    load()

    assert query(STAGING) == []
