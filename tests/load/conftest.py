"""A lake that tests publish by hand, and load jobs from it into a warehouse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest
from pyspark.sql import SparkSession
from totesys.contracts import load_contracts
from totesys.demands import NO_DEMANDS, Demands
from totesys.load.job import LoadJob
from totesys.store import Bucket

from tests.load.lake import Lake
from tests.local_aws.machine import LocalAws, wait_until

STAGING = "SELECT tablename FROM pg_tables WHERE schemaname = 'etl' AND tablename LIKE 'staging%'"


@pytest.fixture
def lake(new_bucket: Callable[[], Bucket]) -> Lake:
    """A processed bucket without a publish."""
    return Lake(new_bucket())


@pytest.fixture
def new_job(lake: Lake, warehouse: Any, spark: SparkSession, aws: LocalAws) -> Callable[..., LoadJob]:
    """Makes load jobs from the lake to the warehouse, each with an attempt of its own."""
    # The session may be older than our S3 server, when other tests ran before: the bucket is told its endpoint.
    spark.sparkContext._jsc.hadoopConfiguration().set(f"fs.s3a.bucket.{lake.bucket.name}.endpoint", aws.endpoint)
    attempts = count(1)

    def create(credentials: Any = None, demands: Demands = NO_DEMANDS) -> LoadJob:
        return LoadJob(
            project="totesys", events=aws.client("events"),
            processed=lake.bucket, credentials=credentials or warehouse.credentials, contracts=load_contracts(),
            spark=lambda: spark, attempt=f"{next(attempts):08x}", demands=demands,
        )  # fmt: skip

    return create


@pytest.fixture
def load(new_job: Callable[..., LoadJob]) -> Callable[..., Any]:
    """Runs one load job, on demands by their names, and returns what it says the warehouse holds."""
    return lambda **demands: new_job(demands=Demands(**demands)).run()


@pytest.fixture
def query(warehouse: Any) -> Iterator[Callable[..., list[tuple]]]:
    """Runs SQL in the warehouse as its owner, and returns the rows if there are any."""
    connection = warehouse.connect()
    connection.autocommit = True

    def run(statement: str, *values: object) -> list[tuple]:
        with connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    yield run
    connection.close()


@pytest.fixture
def run_until_merge(new_job: Callable[..., LoadJob], warehouse: Any) -> Callable[..., list[Any]]:
    """Starts load jobs, waits until all have staged and want the ledger, calls `meanwhile`, and lets them go on.

    Returns what each came to: what the warehouse holds, or the exception. The tables must be there already.
    """

    def run(jobs: int, meanwhile: Callable[[], Any]) -> list[Any]:
        holder = warehouse.connect()
        with ThreadPoolExecutor(jobs) as pool:
            try:
                with holder.cursor() as cursor:
                    cursor.execute("LOCK TABLE etl.load_ledger IN SHARE MODE")
                    started = [pool.submit(new_job().run) for _ in range(jobs)]
                    wait_until("all want the ledger", lambda: waiting_for_ledger(cursor) == jobs)
                    meanwhile()
            finally:
                holder.close()
            return [done.exception() or done.result() for done in started]

    return run


def waiting_for_ledger(cursor: Any) -> int:
    """How many sessions wait for the lock that a load merges under."""
    cursor.execute("SELECT count(*) FROM pg_locks WHERE relation = 'etl.load_ledger'::regclass AND NOT granted")
    return int(cursor.fetchone()[0])
