"""The four outcomes of drift from the source to the warehouse: what is said, what waits, what goes on, and that all agrees in the end."""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import pytest
from totesys.contracts import load_contracts
from totesys.errors import BadDataError

from operations.reconcile.compare import compare_all
from tests.exactness.test_held_parent import ORDERS, PARENTS, WAITING, design, order, query
from tests.exactness.world import World


@dataclass(frozen=True)
class Case:
    """A change of the source, work of the application after it, and what the next run makes of both."""

    change: tuple[str, ...]
    work: tuple[str, ...]
    arrives: list[int]
    waits: list[int]
    letters: list[str]
    alert: str
    settle: tuple[str, ...]


CASES = {
    "ignore": Case(
        change=("ALTER TABLE design ADD note text NOT NULL DEFAULT ''",),
        work=(design(2), order(2, 2)),
        arrives=[1, 2],
        waits=[],
        letters=[],
        alert="source changed",
        settle=("ALTER TABLE design DROP note",),
    ),
    "evolve": Case(
        change=("ALTER TABLE sales_order ALTER unit_price TYPE numeric(14,2)",),
        work=(order(2, 1), order(3, 1).replace("3.10", "123456789012.50")),
        arrives=[1, 2],
        waits=[],
        letters=["sales_order"],
        alert="source changed",
        settle=("UPDATE sales_order SET unit_price = 3.10", "ALTER TABLE sales_order ALTER unit_price TYPE numeric(10,2)"),
    ),
    "hold": Case(
        change=("ALTER TABLE design RENAME file_name TO filename",),
        work=(design(2).replace("file_name", "filename"), order(2, 2), order(3, 1)),
        arrives=[1, 3],
        waits=[2],
        letters=["design"],
        alert="table held",
        settle=("ALTER TABLE design RENAME filename TO file_name",),
    ),
}


def differences(source: Any, warehouse: Any) -> list[str]:
    with closing(source.connect()) as ours, closing(warehouse.connect()) as theirs:
        return [str(difference) for comparison in compare_all(load_contracts(), ours, theirs) for difference in comparison.listed]


def letters(world: World) -> list[str]:
    """The tables that have rows in the dead letter."""
    return sorted({key.split("/")[1] for key, _ in world.ingestion.objects("dead_letter/")})


@pytest.mark.parametrize("outcome", CASES)
def test_drift_has_its_outcome_up_to_the_warehouse(
    world: World, source: Any, warehouse: Any, caplog: pytest.LogCaptureFixture, outcome: str
) -> None:
    case = CASES[outcome]
    world.execute(source.connect, *PARENTS, design(1), order(1, 1))
    world.run()
    world.execute(source.connect, *case.change)
    world.execute(source.connect, *case.work)

    with caplog.at_level(logging.WARNING):
        world.run()

    assert f"alert, {case.alert}" in caplog.text
    assert [key for key, _ in query(warehouse, ORDERS)] == case.arrives
    assert [key for key, _ in query(warehouse, WAITING)] == case.waits
    assert letters(world) == case.letters

    world.execute(source.connect, *case.settle)
    world.run()

    assert query(warehouse, WAITING) == []
    assert differences(source, warehouse) == []
    assert len({key for key, _ in query(warehouse, ORDERS)}) == len(query(source, "SELECT * FROM sales_order"))


def test_drift_that_must_fail_stops_the_run_and_once_it_is_settled_nothing_is_missing(world: World, source: Any, warehouse: Any) -> None:
    world.execute(source.connect, *PARENTS, design(1), order(1, 1))
    world.run()
    world.registered["design"] = replace(world.registered["design"], drift={"column_renamed": "fail"})
    world.execute(source.connect, "ALTER TABLE design RENAME file_name TO filename", order(2, 1))

    with pytest.raises(BadDataError, match="Nothing was read"):
        world.ingest()

    world.execute(source.connect, "ALTER TABLE design RENAME filename TO file_name")
    world.run()
    assert query(warehouse, ORDERS) == [(1, 10), (2, 10)]
    assert differences(source, warehouse) == []
