"""Worlds of a test's own, and one that many tests leave as they found it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from pyspark.sql import SparkSession
from totesys.contracts import load_contracts

from local_totesys.postgres import PostgresServer
from operations.reconcile.compare import compare_all
from tests.conftest import Database
from tests.support.local_aws.machine import LocalAws
from tests.support.orders import PARENTS, design, order, query
from tests.support.world import World


@pytest.fixture
def world(aws: LocalAws, spark: SparkSession, source: Any, warehouse: Any) -> World:
    """A deployed pipeline whose source has its tables and no rows, and whose warehouse is empty."""
    spark.sparkContext._jsc.hadoopConfiguration().set("fs.s3a.endpoint", aws.endpoint)
    world = World(spark, aws.client, source.credentials, warehouse.credentials)
    world.deploy()
    return world


@dataclass(frozen=True)
class SharedWorld:
    """A pipeline after its first run, whose source has parents, design 1 and order 1. A test takes keys of its own, ten at a time, and in
    the end all agrees again."""

    world: World
    source: Database
    warehouse: Database
    _keys: Any = field(default_factory=lambda: count(10, 10))

    def keys(self) -> int:
        """The first of ten keys that are free in every table."""
        return int(next(self._keys))

    def at_source(self, *statements: str) -> None:
        """Commits statements, in one transaction."""
        self.world.execute(self.source.connect, *statements)

    def orders(self, first: int) -> list[tuple[Any, ...]]:
        """The versions (key, units_sold) of a test's orders in the warehouse, in the order in which they came."""
        own = f"sales_order_id BETWEEN {first} AND {first + 9}"
        return query(self.warehouse, f"SELECT sales_order_id, units_sold FROM fact_sales_order WHERE {own} ORDER BY sales_record_id")

    def waiting(self) -> list[tuple[Any, ...]]:
        """The orders that wait, with what they wait for."""
        return query(self.warehouse, "SELECT sales_order_id, waits_for FROM etl.waiting_sales_order WHERE went_in_after IS NULL")

    def differences(self) -> list[str]:
        """What reconciling says."""
        with closing(self.source.connect()) as source, closing(self.warehouse.connect()) as warehouse:
            return [str(difference) for comparison in compare_all(load_contracts(), source, warehouse) for difference in comparison.listed]


@pytest.fixture(scope="session")
def shared(
    aws: LocalAws,
    spark: SparkSession,
    postgres: PostgresServer,
    source_template: str,
    warehouse_template: str,
    new_database: Callable[[str], str],
) -> SharedWorld:
    source, warehouse = Database(postgres, new_database(source_template)), Database(postgres, new_database(warehouse_template))
    spark.sparkContext._jsc.hadoopConfiguration().set("fs.s3a.endpoint", aws.endpoint)
    shared = SharedWorld(World(spark, aws.client, source.credentials, warehouse.credentials), source, warehouse)
    shared.world.deploy()
    shared.at_source(*PARENTS, design(1), order(1, 1))
    shared.world.run()
    return shared
