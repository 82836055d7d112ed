"""A table is held, and a row of another refers to a new one of it: the row waits in the warehouse and nothing else does."""

from __future__ import annotations

from typing import Any

from totesys.runtime.run_request import RunRequest

from tests.support.orders import PARENTS, design, order, query
from tests.support.world import World

ORDERS = "SELECT sales_order_id, units_sold FROM fact_sales_order ORDER BY sales_record_id"
WAITING = "SELECT sales_order_id, waits_for FROM etl.waiting_sales_order WHERE went_in_after IS NULL"


def test_an_order_of_a_held_tables_new_row_waits_until_the_hold_is_settled(world: World, source: Any, warehouse: Any) -> None:
    world.execute(source.connect, *PARENTS, *map(design, range(1, 11)), order(1, 10))
    world.run()
    world.execute(source.connect, "DELETE FROM design WHERE design_id < 4", design(11), order(2, 11), order(3, 10))

    world.run()

    assert query(warehouse, ORDERS) == [(1, 10), (3, 10)]
    assert query(warehouse, WAITING) == [(2, ["dim_design"])]

    world.execute(source.connect, "UPDATE sales_order SET units_sold = 11, design_id = 10, last_updated = now() WHERE sales_order_id = 2")
    world.run()
    assert query(warehouse, ORDERS) == [(1, 10), (3, 10)], "its first version waits still"

    world.run(accept_deletes=["design"])

    assert query(warehouse, ORDERS) == [(1, 10), (3, 10), (2, 10), (2, 11)]
    assert query(warehouse, WAITING) == []

    for first in (3, 2):
        world.transform(RunRequest(backfill=True, backfill_from=first))
        world.load(RunRequest(backfill=True, backfill_from=first))
    world.transform(RunRequest(backfill=True))
    world.load(RunRequest(backfill=True))

    assert query(warehouse, ORDERS) == [(1, 10), (2, 10), (3, 10), (2, 11)]
