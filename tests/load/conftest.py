"""A lake that tests publish by hand, and load jobs from it into a warehouse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
from pyspark.sql import SparkSession
from totesys.contracts import load_contracts
from totesys.lake.store import Bucket
from totesys.load.job import LoadJob
from totesys.runtime.run_request import ORDINARY_RUN, RunRequest
from totesys.runtime.secrets import Credentials

from local_totesys.postgres import PostgresServer
from tests.conftest import Database
from tests.load.lake import PublishedLake, sales_order, sales_star
from tests.support.local_aws.machine import LocalAws, wait_until

STAGING = "SELECT tablename FROM pg_tables WHERE schemaname = 'etl' AND tablename LIKE 'staging%'"


@dataclass(frozen=True)
class LoadHistory:
    """A lake, and the name of a warehouse that loads have brought it to. Tests go on from copies of both."""

    lake: PublishedLake
    dbname: str


@pytest.fixture(scope="session")
def new_history(
    new_bucket: Callable[[], Bucket],
    postgres: PostgresServer,
    new_database: Callable[[str], str],
    warehouse_template: str,
    jobs: Callable[..., LoadJob],
) -> Callable[[Callable[[PublishedLake, Callable[[], Any]], None]], LoadHistory]:
    """Makes a history: by a function of an empty lake, and of what loads that lake into an empty warehouse."""

    def create(happen: Callable[[PublishedLake, Callable[[], Any]], None]) -> LoadHistory:
        lake, dbname = PublishedLake(new_bucket()), new_database(warehouse_template)
        happen(lake, lambda: jobs(lake, Database(postgres, dbname).credentials).run())
        return LoadHistory(lake, dbname)

    return create


@pytest.fixture
def history(request: pytest.FixtureRequest) -> LoadHistory | None:
    """What the test goes on from: the fixture that it names, or nothing."""
    return request.getfixturevalue(request.param) if hasattr(request, "param") else None


def goes_on_from(fixture: str) -> pytest.MarkDecorator:
    """Lets a test begin with the history that a fixture has made."""
    return pytest.mark.parametrize("history", [fixture], indirect=True)


@pytest.fixture(scope="session")
def one_order(new_history: Callable[..., LoadHistory]) -> LoadHistory:
    """Batch 1 with sales order 1 and its parents, loaded."""

    def happen(lake: PublishedLake, load: Callable[[], Any]) -> None:
        lake.publish(1, sales_star(sales_order(1)))
        load()

    return new_history(happen)


@pytest.fixture
def lake(history: LoadHistory | None, new_bucket: Callable[[], Bucket]) -> PublishedLake:
    """The history's processed bucket; one without a publish where the test begins with nothing."""
    return history.lake.copied(new_bucket()) if history else PublishedLake(new_bucket())


@pytest.fixture
def warehouse(
    history: LoadHistory | None, postgres: PostgresServer, new_database: Callable[[str], str], warehouse_template: str
) -> Iterator[Database]:
    """The history's warehouse, or an empty one."""
    database = Database(postgres, new_database(history.dbname if history else warehouse_template))
    yield database
    postgres.drop_database(database.dbname)


@pytest.fixture(scope="session")
def jobs(spark: SparkSession, aws: LocalAws) -> Callable[..., LoadJob]:
    """Makes load jobs from a lake to a warehouse, each with an attempt of its own."""
    attempts = count(1)

    def create(lake: PublishedLake, credentials: Credentials, request: RunRequest = ORDINARY_RUN) -> LoadJob:
        # The session may be older than our S3 server, when other tests ran before: the bucket is told its endpoint.
        spark.sparkContext._jsc.hadoopConfiguration().set(f"fs.s3a.bucket.{lake.bucket.name}.endpoint", aws.endpoint)
        return LoadJob(
            project="totesys", events=aws.client("events"), processed=lake.bucket, credentials=credentials, contracts=load_contracts(),
            spark=lambda: spark, attempt=f"{next(attempts):08x}", request=request,
        )  # fmt: skip

    return create


@pytest.fixture
def new_job(lake: PublishedLake, warehouse: Database, jobs: Callable[..., LoadJob]) -> Callable[..., LoadJob]:
    """Makes load jobs from the test's lake to its warehouse."""

    def create(credentials: Credentials | None = None, request: RunRequest = ORDINARY_RUN) -> LoadJob:
        return jobs(lake, credentials or warehouse.credentials, request)

    return create


@pytest.fixture
def load(new_job: Callable[..., LoadJob]) -> Callable[..., Any]:
    """Runs one load job with a run request, given by its fields, and returns what it says the warehouse holds."""
    return lambda **request: new_job(request=RunRequest(**request)).run()


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
