"""A lake and a warehouse that an earlier release wrote are read by this code, which goes on from there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from pyspark.sql import SparkSession
from totesys.lake.manifests import read_batch

from local_totesys.postgres import PostgresServer
from tests.conftest import Database
from tests.formats.restore import Restored, query, restore
from tests.support.exact import Checker
from tests.support.local_aws.machine import LocalAws
from tests.support.orders import order

ORDERS = "SELECT sales_order_id, units_sold FROM fact_sales_order ORDER BY sales_record_id"
# What the release had loaded: order 1 with a change, and order 2, which was deleted and came back.
LOADED = [(1, 10), (2, 10), (1, 11), (2, 10)]


@pytest.fixture
def restored(
    spark: SparkSession, aws: LocalAws, postgres: PostgresServer, warehouse_template: str, new_database: Callable[[str], str]
) -> Restored:
    return restore(spark, aws, lambda: Database(postgres, new_database(warehouse_template)))


def go_on(restored: Restored) -> None:
    """Change the source, and let the jobs bring everything in: what was pending, held, kept out and waiting, and what is new."""
    checker = Checker(restored.world, restored.world.client, restored.source, restored.warehouse)
    assert query(restored.warehouse, ORDERS) == LOADED
    restored.at_source(
        "ALTER TABLE design RENAME filename TO file_name",
        "UPDATE sales_order SET agreed_payment_date = '2024-03-04' WHERE sales_order_id = 3",
        "UPDATE sales_order SET units_sold = 12 WHERE sales_order_id = 1",
        order(7, 1),
    )

    restored.world.run()

    orders = {1: 3, 2: 2, 3: 1, 5: 1, 6: 1, 7: 1}
    expected = Counter({("fact_payment", 1): 1, **{("fact_sales_order", key): versions for key, versions in orders.items()}})
    found = checker.findings(expected)
    assert (found.lost, found.duplicated) == (0, 0)
    # Order 4 stays out: it still breaks its contract.
    assert [problem for problem in found.problems if "fact_sales_order 4" not in problem] == []
    assert query(restored.warehouse, ORDERS)[: len(LOADED)] == LOADED  # type: ignore[index]

    restored.at_source("DELETE FROM sales_order WHERE sales_order_id = 4", "UPDATE staff SET first_name = 'Grace'")
    restored.world.run()

    assert checker.findings(expected).problems == []
    assert query(restored.warehouse, "SELECT DISTINCT went_in_after IS NULL FROM etl.waiting_sales_order") == [(False,)]
    assert query(restored.warehouse, "SELECT source_table, key FROM etl.tombstone") == [("design", 2)], "order 4 never came in"


def test_a_restored_pipeline_goes_on_with_deltas(restored: Restored) -> None:
    restored.keep_source()
    go_on(restored)
    tables = read_batch(restored.world.ingestion, 6).tables
    modes = {table: tables[table].mode for table in ("sales_order", "payment", "design")}
    assert modes == {"sales_order": "delta", "payment": "delta", "design": "full"}, "design was held"


def test_a_restored_pipeline_goes_on_with_another_source_of_the_same_rows(restored: Restored) -> None:
    """As after the source was moved to another server: its tables are read in full, and what is known adds nothing."""
    go_on(restored)
