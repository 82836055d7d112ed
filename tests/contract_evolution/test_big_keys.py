"""Keys of 64 bits go through the lake and into the warehouse, each into its own row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from totesys.contracts import load_contracts
from totesys.lake.manifests import newest_publish
from totesys.runtime.run_request import RunRequest
from totesys.transform.spark_lake import key_range

from tests.contract_evolution.pipeline import change, deploy, mirror, query
from tests.support.landing import LandedBatches, address, counterparty, currency, department, sales_order, staff
from tests.support.world import World

KEYS = [7, 2**31, 2**31 * 100_000 + 7, 2**53 + 1, 2**53 + 2, 2**63 - 1]
WIDE = {"type": "bigint"}
WIDE_IN_BOTH = {"type": "bigint", "warehouse_type": "bigint"}


@pytest.fixture
def wide(world: World, catalog: Path) -> World:
    """The pipeline, with contracts whose keys of staff and of sales orders are bigint."""
    change(catalog, "source/staff.json", staff_id=WIDE)
    change(catalog, "source/sales_order.json", sales_order_id=WIDE, staff_id=WIDE)
    change(catalog, "warehouse/dim_staff.json", staff_id=WIDE_IN_BOTH)
    change(catalog, "warehouse/fact_sales_order.json", sales_order_id=WIDE_IN_BOTH, sales_staff_id=WIDE_IN_BOTH)
    change(catalog, "warehouse/fact_payment.json")
    deploy(world)
    return world


def test_every_key_of_64_bits_falls_into_a_partition_of_an_int(spark: SparkSession) -> None:
    contract = load_contracts().source["sales_order"]
    keys = spark.range(1).select(F.explode(F.array(*[F.lit(key).cast("bigint") for key in KEYS])).alias("sales_order_id"))
    ranges = keys.select("sales_order_id", key_range(contract)).collect()
    assert [row.key_range for row in ranges] == [key // 100_000 % 2**31 for key in KEYS]
    assert ranges[0].key_range == ranges[2].key_range == 0


def test_large_keys_come_into_the_mirror_the_stars_and_the_warehouse(wide: World, warehouse: Any) -> None:
    landing = LandedBatches(wide.ingestion)
    parents = {
        "address": [address(1)],
        "counterparty": [counterparty(1, 1)],
        "department": [department(1)],
        "currency": [currency(1, "GBP")],
    }
    orders = [sales_order(key, staff_id=key) for key in KEYS]
    landing.land({**parents, "staff": [staff(key, 1) for key in KEYS], "sales_order": orders}, full=True)
    wide.transform()
    wide.load()
    waiting = "SELECT sales_order_id FROM etl.waiting_sales_order WHERE went_in_after IS NULL ORDER BY 1"
    assert query(warehouse.connect, waiting) == [(key,) for key in KEYS]  # the design is not there yet
    stamps = {name: address(1)[name] for name in ("created_at", "last_updated")}
    landing.land({"design": [{"design_id": 1, "design_name": "Wooden", "file_location": "/usr", "file_name": "a.json", **stamps}]})
    landing.land({"sales_order": [sales_order(key, staff_id=key, units_sold=11) for key in KEYS[::2]]})
    wide.transform()
    wide.load()

    assert query(warehouse.connect, "SELECT staff_id FROM dim_staff ORDER BY 1") == [(key,) for key in KEYS]
    current = query(warehouse.connect, "SELECT sales_order_id, sales_staff_id, units_sold FROM current_sales_order ORDER BY 1")
    assert current == [(key, key, 11 if key in KEYS[::2] else 10) for key in KEYS]
    assert query(warehouse.connect, "SELECT count(*) FROM fact_sales_order") == [(9,)]
    assert [(row["sales_order_id"], row["units_sold"]) for row in mirror(wide, "sales_order")] == [
        (key, 11 if key in KEYS[::2] else 10) for key in KEYS
    ]


def test_large_keys_that_are_deleted_become_tombstones_and_a_backfill_keeps_them(wide: World, warehouse: Any) -> None:
    landing = LandedBatches(wide.ingestion)
    landing.land({"department": [department(1)], "staff": [staff(key, 1) for key in KEYS]}, full=True)
    landing.land({"staff": [staff(key, 1) for key in KEYS[:-1]]}, full=True, kept_out=[KEYS[3]])
    for request in (RunRequest(), RunRequest(backfill=True)):
        wide.transform(request)
        wide.load(request)
        assert query(warehouse.connect, "SELECT source_table, key FROM etl.tombstone") == [("staff", 2**63 - 1)]
    publish = newest_publish(wide.processed)
    assert publish and publish.mirror["staff"].keys() == {str(key // 100_000 % 2**31) for key in KEYS}
