"""The four outcomes of drift from the source to the warehouse: what is said, what waits, what goes on, and that all agrees in the end."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from totesys.errors import BadDataError

from tests.exactness.conftest import SharedWorld
from tests.support.orders import design, order, query
from tests.support.world import World


@dataclass(frozen=True)
class OutcomeCase:
    """A change of a table, work of the application after it, and what the next run makes of both. `work` is given the first of the keys
    that it may use, and orders so many; `arrives` and `waits` count from there."""

    table: str
    change: str
    work: Callable[[int], tuple[str, ...]]
    orders: int
    arrives: tuple[int, ...]
    waits: tuple[int, ...]
    has_letters: bool
    alert: str
    settle: tuple[str, ...]


CASES = {
    "ignore": OutcomeCase(
        table="department",
        change="ALTER TABLE department ADD note text NOT NULL DEFAULT ''",
        work=lambda first: ("UPDATE department SET note = 'moved', location = 'Ripon', last_updated = now()", order(first, 1)),
        orders=1,
        arrives=(0,),
        waits=(),
        has_letters=False,
        alert="source changed",
        settle=("ALTER TABLE department DROP note",),
    ),
    "evolve": OutcomeCase(
        table="sales_order",
        change="ALTER TABLE sales_order ALTER unit_price TYPE numeric(14,2)",
        work=lambda first: (order(first, 1), order(first + 1, 1).replace("3.10", "123456789012.50")),
        orders=2,
        arrives=(0,),
        waits=(),
        has_letters=True,
        alert="source changed",
        settle=("UPDATE sales_order SET unit_price = 3.10", "ALTER TABLE sales_order ALTER unit_price TYPE numeric(10,2)"),
    ),
    "hold": OutcomeCase(
        table="design",
        change="ALTER TABLE design RENAME file_name TO filename",
        work=lambda first: (design(first).replace("file_name", "filename"), order(first, first), order(first + 1, 1)),
        orders=2,
        arrives=(1,),
        waits=(0,),
        has_letters=True,
        alert="table held",
        settle=("ALTER TABLE design RENAME filename TO file_name",),
    ),
}


def letters(world: World) -> set[str]:
    """The objects in the dead letter."""
    return {key for key, _ in world.ingestion.objects("dead_letter/")}


def test_drift_of_three_tables_at_once_has_its_outcomes_up_to_the_warehouse(shared: SharedWorld, caplog: pytest.LogCaptureFixture) -> None:
    world, before = shared.world, letters(shared.world)
    first = {outcome: shared.keys() for outcome in CASES}
    for outcome, case in CASES.items():
        shared.at_source(case.change)
        shared.at_source(*case.work(first[outcome]))

    with caplog.at_level(logging.WARNING):
        world.run()

    for outcome, case in CASES.items():
        assert f"alert, {case.alert}: {case.table}: " in caplog.text
        assert [key - first[outcome] for key, _ in shared.orders(first[outcome])] == list(case.arrives), outcome
    assert query(shared.warehouse, "SELECT DISTINCT location FROM dim_staff") == [("Ripon",)], "what is ignored is the column alone"
    assert [key for key, _ in shared.waiting()] == [first[outcome] + key for outcome, case in CASES.items() for key in case.waits]
    tables = {case.table for case in CASES.values() if case.has_letters}
    assert {key.split("/")[1] for key in letters(world) - before} == tables

    shared.at_source(*(statement for case in CASES.values() for statement in case.settle))
    world.run()

    assert shared.waiting() == []
    assert shared.differences() == []
    for outcome, case in CASES.items():
        assert {key - first[outcome] for key, _ in shared.orders(first[outcome])} == set(range(case.orders)), outcome


def test_drift_that_must_fail_stops_the_run_and_once_it_is_settled_nothing_is_missing(shared: SharedWorld) -> None:
    world, first, design_contract = shared.world, shared.keys(), shared.world.registered["design"]
    world.registered["design"] = replace(design_contract, drift={"column_renamed": "fail"})
    shared.at_source("ALTER TABLE design RENAME file_name TO filename", order(first, 1))
    try:
        with pytest.raises(BadDataError, match="Nothing was read"):
            world.ingest()
        shared.at_source("ALTER TABLE design RENAME filename TO file_name")
        world.run()
    finally:
        world.registered["design"] = design_contract
    assert shared.orders(first) == [(first, 10)]
    assert shared.differences() == []
