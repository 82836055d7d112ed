"""Athena's views of the lake: what each order and payment is now, whatever its history."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from totesys.contracts import MIRROR_LINEAGE, load_contracts
from totesys.errors import FatalError

from operations.athena import QueryError, ask
from operations.deployment.views import create_view, create_views, current_views
from tests.support.stack import DeployedStack

CONTRACTS = load_contracts()
FACT, ORDER = CONTRACTS.facts["fact_sales_order"], CONTRACTS.source["sales_order"]
DAY = date(2026, 11, 23)


def version(order: int, batch: int, units: int) -> dict[str, Any]:
    """One version of an order; what does not matter here is the same in all of them."""
    values = {"int": 1, "date": DAY, "string": "08:00:00.000", "decimal(10,2)": Decimal("2.50")}
    return {
        **{column.name: values[column.type] for column in FACT.lake_columns},
        "sales_order_id": order,
        "units_sold": units,
        "batch_seq": batch,
        "is_reinserted": False,
    }


def mirrored(order: int, *, is_deleted: bool) -> dict[str, Any]:
    return {"sales_order_id": order, "is_deleted": is_deleted, "batch_seq": 1}


@pytest.fixture
def history(stack: DeployedStack) -> Iterator[DeployedStack]:
    """Order 1 in three versions, order 2 in one, order 3 deleted at the source, order 4 deleted and made again."""
    star, mirror = stack.deployment.star_database, stack.deployment.mirror_database
    versions = {
        "initial": [version(1, 1, 10), version(2, 1, 20), version(3, 1, 30), version(4, 1, 40)],
        "2026-11-23": [version(1, 12, 12), version(1, 9, 11), version(3, 9, 33), version(4, 9, 44)],
    }
    states = {
        "0": [mirrored(1, is_deleted=False), mirrored(2, is_deleted=False), mirrored(3, is_deleted=True)],
        "1": [mirrored(4, is_deleted=False)],
    }
    with ExitStack() as partitions:
        for day, rows in versions.items():
            partitions.enter_context(stack.partition(star, "fact_sales_order", day, rows, FACT.file_columns))
        for key_range, rows in states.items():
            partitions.enter_context(stack.partition(mirror, "sales_order", key_range, rows, (*ORDER.columns, *MIRROR_LINEAGE)))
        yield stack


def test_a_view_holds_the_newest_version_of_each_order_that_is_not_deleted(history: DeployedStack) -> None:
    answer = history.ask("SELECT sales_order_id, units_sold, batch_seq FROM current_sales_order ORDER BY 1")
    assert answer == [("1", "12", "12"), ("2", "20", "1"), ("4", "44", "9")]


def test_a_view_can_be_joined_from_another_database(history: DeployedStack) -> None:
    deployment = history.deployment
    view = f"{deployment.star_database}.current_sales_order"
    statement = (
        f"SELECT sales_order_id, v.units_sold FROM sales_order JOIN {view} AS v USING (sales_order_id) WHERE NOT is_deleted ORDER BY 1"
    )
    answer = ask(history.aws.client("athena"), deployment, statement, deployment.mirror_database)
    assert list(answer.rows) == [["1", "12"], ["2", "20"], ["4", "44"]]


@pytest.mark.parametrize("view", ["current_sales_order", "current_purchase_orders", "current_payment"])
def test_before_the_first_publish_a_view_is_empty_and_has_its_facts_columns(stack: DeployedStack, view: str) -> None:
    deployment = stack.deployment
    answer = ask(stack.aws.client("athena"), deployment, f"SELECT * FROM {view}", deployment.star_database)
    contract = CONTRACTS.facts[view.replace("current_", "fact_")]
    assert [name for name, _ in answer.columns] == [column.name for column in contract.file_columns]
    assert list(answer.rows) == []


def test_a_view_says_in_the_catalog_what_it_is(stack: DeployedStack) -> None:
    found = stack.aws.glue.get_table(DatabaseName=stack.deployment.star_database, Name="current_payment")["Table"]
    assert found["TableType"] == "VIRTUAL_VIEW"
    assert found["Description"] == "The newest version of each payment_id in fact_payment, without those that are gone from the source."


def test_a_view_with_another_query_is_replaced_and_the_others_are_left(stack: DeployedStack) -> None:
    *rest, dropped = FACT.columns
    changed = replace(CONTRACTS, warehouse={**CONTRACTS.warehouse, FACT.table: replace(FACT, columns=tuple(rest))})
    assert create_views(stack.session, stack.deployment, changed) == {"replaced": 1, "unchanged": 2}
    with pytest.raises(QueryError, match=dropped.name):
        stack.ask(f"SELECT {dropped.name} FROM current_sales_order")
    assert create_views(stack.session, stack.deployment, CONTRACTS) == {"replaced": 1, "unchanged": 2}
    assert stack.ask(f"SELECT {dropped.name} FROM current_sales_order") == []


def test_a_view_whose_fact_has_another_type_is_replaced(stack: DeployedStack) -> None:
    columns = [replace(column, type="bigint") if column.name == "units_sold" else column for column in FACT.columns]
    changed = replace(CONTRACTS, warehouse={**CONTRACTS.warehouse, FACT.table: replace(FACT, columns=tuple(columns))})
    assert create_views(stack.session, stack.deployment, changed) == {"replaced": 1, "unchanged": 2}
    assert create_views(stack.session, stack.deployment, CONTRACTS) == {"replaced": 1, "unchanged": 2}


def test_a_view_that_somebody_has_replaced_by_hand_is_made_again(stack: DeployedStack) -> None:
    stack.ask("CREATE OR REPLACE VIEW current_payment AS SELECT 1 AS payment_id")
    assert create_views(stack.session, stack.deployment, CONTRACTS) == {"replaced": 1, "unchanged": 2}
    assert stack.ask("SELECT payment_id FROM current_payment") == []


@pytest.mark.parametrize("left", ["DROP VIEW current_payment", "CREATE OR REPLACE VIEW current_payment AS SELECT 1 AS payment_id"])
def test_an_athena_that_says_done_and_makes_nothing_is_found_out(stack: DeployedStack, left: str) -> None:
    database = stack.deployment.star_database
    stack.ask(left)
    try:
        with pytest.raises(FatalError, match=f"Athena says that it created view {database}.current_payment"):
            create_view(stack.aws.glue, lambda statement: None, database, CONTRACTS.facts["fact_payment"], "SELECT 1")
    finally:
        create_views(stack.session, stack.deployment, CONTRACTS)


def test_a_view_reads_its_fact_once_and_no_more_of_it_than_it_holds() -> None:
    for name, query in current_views(CONTRACTS, "star", "mirror").items():
        assert query.count(f"star.{name.replace('current_', 'fact_')} ") == 1
        assert "*" not in query
