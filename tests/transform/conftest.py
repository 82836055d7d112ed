"""An ingestion bucket that tests land batches in, and a transform job on real Spark against it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from pyspark.sql import SparkSession
from totesys.contracts import load_contracts
from totesys.lake.catalog_tables import mirror_table_inputs, star_table_inputs
from totesys.lake.manifests import PublishManifest
from totesys.lake.store import Bucket
from totesys.runtime.arguments import TransformArguments
from totesys.runtime.run_request import ORDINARY_RUN, RunRequest
from totesys.transform.job import TransformClients, TransformJob

from tests.support.landing import LandedBatches
from tests.support.local_aws.machine import LocalAws


class Pipeline(SimpleNamespace):
    """Two buckets, two databases of the catalog, and the transform between them."""

    def transform(
        self, now: datetime = datetime(2026, 3, 2, 12, tzinfo=timezone.utc), request: RunRequest = ORDINARY_RUN
    ) -> PublishManifest | None:
        """One run of the job, with an attempt of its own."""
        return TransformJob(lambda: self.spark, self.clients, self.arguments, request, f"{next(self.attempts):08x}", now).run()

    def rows(self, states: dict[str, dict[str, Any]], table: str, partition: str | None = None) -> list[dict[str, Any]]:
        """The rows that a manifest's partitions of a table hold, as Spark reads them; all partitions when none is named."""
        wanted = [state for value, state in states[table].items() if partition in (None, value)]
        uris = [f"s3://{self.processed.name}/{state.prefix}" for state in wanted]
        return [row.asDict() for row in self.spark.read.parquet(*uris).collect()]

    def locations(self, database: str, table: str) -> dict[str, str]:
        """Where the catalog says each partition of a table is."""
        pages = self.aws.glue.get_paginator("get_partitions").paginate(DatabaseName=database, TableName=table)
        return {one["Values"][0]: one["StorageDescriptor"]["Location"] for page in pages for one in page["Partitions"]}


@pytest.fixture(scope="session")
def new_pipeline(aws: LocalAws, spark: SparkSession, new_bucket: Callable[[], Bucket]) -> Callable[[], Pipeline]:
    numbers = count(1)

    def create() -> Pipeline:
        number, ingestion, processed = next(numbers), new_bucket(), new_bucket()
        databases = (f"current_{number}", f"processed_{number}")
        tables = (mirror_table_inputs(load_contracts(), processed.name), star_table_inputs(load_contracts(), processed.name))
        for database, inputs in zip(databases, tables, strict=True):
            aws.glue.create_database(DatabaseInput={"Name": database})
            for table in inputs:
                aws.glue.create_table(DatabaseName=database, TableInput=table)
        return Pipeline(
            aws=aws, clients=TransformClients(aws.s3, aws.glue, aws.client("events")),
            spark=spark, processed=processed, landing=LandedBatches(ingestion), attempts=count(1),
            arguments=TransformArguments("totesys", ingestion.name, processed.name, *databases),
        )  # fmt: skip

    return create
