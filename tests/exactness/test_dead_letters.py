"""A row that breaks its contract stays out alone: what it was stays current, and what refers to it waits, until it is put right."""

from __future__ import annotations

from dataclasses import replace

from totesys.runtime.run_request import RunRequest

from tests.exactness.conftest import SharedWorld
from tests.support.orders import design, order, query


def test_an_order_with_a_bad_date_keeps_its_good_version_until_it_is_put_right(shared: SharedWorld) -> None:
    world, first = shared.world, shared.keys()
    one, two, three, four = range(first, first + 4)
    shared.at_source(order(one, 1), order(two, 1))
    world.run()
    shared.at_source(
        f"UPDATE sales_order SET agreed_payment_date = 'soon', units_sold = 11 WHERE sales_order_id = {one}",
        f"UPDATE sales_order SET units_sold = 12 WHERE sales_order_id = {two}",
        order(three, 1),
        order(four, 1).replace("2024-03-04", "2024-02-30"),
    )

    world.run()
    world.run(full=True)

    current = f"SELECT sales_order_id, units_sold FROM current_sales_order WHERE sales_order_id >= {first} ORDER BY 1"
    assert query(shared.warehouse, current) == [(one, 10), (two, 12), (three, 10)]

    shared.at_source(f"UPDATE sales_order SET agreed_payment_date = '2024-03-04' WHERE sales_order_id IN ({one}, {four})")
    for _ in range(2):
        world.run()
        assert shared.orders(first) == [(one, 10), (two, 10), (two, 12), (three, 10), (one, 11), (four, 10)]

    world.transform(RunRequest(backfill=True))
    world.load(RunRequest(backfill=True))

    assert shared.orders(first) == [(one, 10), (two, 10), (two, 12), (three, 10), (one, 11), (four, 10)]
    assert shared.differences() == []


def test_an_order_that_a_wider_contract_allows_comes_in_once_by_a_replay(shared: SharedWorld) -> None:
    world, first = shared.world, shared.keys()
    shared.at_source(order(first, 1), order(first + 1, 1).replace("2024-03-04", "1989-12-31"))
    world.run()
    assert shared.orders(first) == [(first, 10)]

    orders = world.registered["sales_order"]
    wider = [replace(column, minimum="1980-01-01") if column.format == "date" else column for column in orders.columns]
    world.registered["sales_order"] = replace(orders, version=orders.version + 1, columns=tuple(wider))
    for _ in range(2):
        world.run(replay=["sales_order"])
        assert shared.orders(first) == [(first, 10), (first + 1, 10)]
    assert shared.differences() == []


def test_an_order_of_a_design_in_the_dead_letter_waits_until_the_design_is_put_right(shared: SharedWorld) -> None:
    world, first = shared.world, shared.keys()
    shared.at_source(
        design(first), f"UPDATE design SET created_at = 'infinity' WHERE design_id = {first}", order(first, first), order(first + 1, 1)
    )

    world.run()

    assert shared.orders(first) == [(first + 1, 10)]
    assert shared.waiting() == [(first, ["dim_design"])]

    shared.at_source(f"UPDATE design SET created_at = '2024-01-05' WHERE design_id = {first}")
    world.run()

    assert shared.orders(first) == [(first + 1, 10), (first, 10)]
    assert shared.waiting() == []
    assert shared.differences() == []
