"""What a load does to the warehouse: first load, deltas, retries."""

from __future__ import annotations

from tests.load.lake import sales_order, sales_star


def test_the_first_load_fills_an_empty_warehouse(lake, load, query):
    lake.publish(1, sales_star(sales_order(1), sales_order(2)))

    loaded = load()

    assert (loaded.publish_seq, loaded.through_batch_seq) == (1, 1)
    assert query("SELECT sales_record_id, sales_order_id FROM fact_sales_order ORDER BY 1") == [(1, 1), (2, 2)]
    assert query("SELECT count(*) FROM dim_date") == [(365,)]
