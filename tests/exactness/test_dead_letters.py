"""A row that breaks its contract stays out alone: what it was stays current, and what refers to it waits, until it is put right."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from totesys.demands import Demands

from tests.exactness.test_held_parent import ORDERS, PARENTS, WAITING, design, order, query
from tests.exactness.world import World

CURRENT = "SELECT sales_order_id, units_sold FROM current_sales_order ORDER BY 1"


def test_an_order_with_a_bad_date_keeps_its_good_version_until_it_is_put_right(world: World, source: Any, warehouse: Any) -> None:
    world.execute(source.connect, *PARENTS, design(1), order(1, 1), order(2, 1))
    world.run()
    world.execute(
        source.connect,
        "UPDATE sales_order SET agreed_payment_date = 'soon', units_sold = 11 WHERE sales_order_id = 1",
        "UPDATE sales_order SET units_sold = 12 WHERE sales_order_id = 2",
        order(3, 1),
        order(4, 1).replace("2024-03-04", "2024-02-30"),
    )

    world.run()
    world.run(full=True)

    assert query(warehouse, CURRENT) == [(1, 10), (2, 12), (3, 10)]

    world.execute(source.connect, "UPDATE sales_order SET agreed_payment_date = '2024-03-04' WHERE sales_order_id IN (1, 4)")
    for _ in range(2):
        world.run()
        assert query(warehouse, ORDERS) == [(1, 10), (2, 10), (2, 12), (3, 10), (1, 11), (4, 10)]

    world.transform(Demands(backfill=True))
    world.load(Demands(backfill=True))

    assert query(warehouse, ORDERS) == [(1, 10), (2, 10), (2, 12), (3, 10), (1, 11), (4, 10)]


def test_an_order_that_a_wider_contract_allows_comes_in_once_by_a_replay(world: World, source: Any, warehouse: Any) -> None:
    world.execute(source.connect, *PARENTS, design(1), order(1, 1), order(2, 1).replace("2024-03-04", "1989-12-31"))
    world.run()
    assert query(warehouse, ORDERS) == [(1, 10)]

    orders = world.registered["sales_order"]
    wider = [replace(column, minimum="1980-01-01") if column.format == "date" else column for column in orders.columns]
    world.registered["sales_order"] = replace(orders, version=orders.version + 1, columns=tuple(wider))
    for _ in range(2):
        world.run(replay=["sales_order"])
        assert query(warehouse, ORDERS) == [(1, 10), (2, 10)]


def test_an_order_of_a_design_in_the_dead_letter_waits_until_the_design_is_put_right(world: World, source: Any, warehouse: Any) -> None:
    world.execute(source.connect, *PARENTS, design(1), order(1, 1))
    world.run()
    world.execute(source.connect, design(2), "UPDATE design SET created_at = 'infinity' WHERE design_id = 2", order(2, 2), order(3, 1))

    world.run()

    assert query(warehouse, ORDERS) == [(1, 10), (3, 10)]
    assert query(warehouse, WAITING) == [(2, ["dim_design"])]

    world.execute(source.connect, "UPDATE design SET created_at = '2024-01-05' WHERE design_id = 2")
    world.run()

    assert query(warehouse, ORDERS) == [(1, 10), (3, 10), (2, 10)]
    assert query(warehouse, WAITING) == []
