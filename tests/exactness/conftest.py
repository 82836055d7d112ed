"""Worlds of a test's own."""

from __future__ import annotations

from typing import Any

import pytest
from pyspark.sql import SparkSession

from tests.exactness.world import World
from tests.local_aws.machine import LocalAws


@pytest.fixture
def world(aws: LocalAws, spark: SparkSession, source: Any, warehouse: Any) -> World:
    """A deployed pipeline whose source has its tables and no rows, and whose warehouse is empty."""
    spark.sparkContext._jsc.hadoopConfiguration().set("fs.s3a.endpoint", aws.endpoint)
    world = World(spark, aws.client, source.credentials, warehouse.credentials)
    world.deploy()
    return world
