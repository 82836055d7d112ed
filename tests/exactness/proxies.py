"""A world whose every call goes through proxies: boto3's and Spark's to AWS, and those to both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import boto3
from botocore.config import Config
from pyspark.sql import SparkSession
from totesys.runtime.secrets import Credentials

from local_aws.environment import REGION
from tests.conftest import Database
from tests.exactness.faults import Calls
from tests.exactness.http_proxy import HttpProxy
from tests.exactness.postgres_proxy import PostgresProxy
from tests.support.local_aws.machine import LocalAws, wait_until
from tests.support.world import World

# boto3 and S3A wait longer before each try. Their waiting is not ours to test: so few tries, and at once.
_BOTO3 = Config(connect_timeout=5, read_timeout=60, retries={"total_max_attempts": 1, "mode": "standard"}, tcp_keepalive=True)
_S3A = {"attempts.maximum": "2", "retry.limit": "1", "retry.interval": "1ms", "retry.throttle.limit": "1", "retry.throttle.interval": "1ms"}


@dataclass(frozen=True)
class ProxiedWorld:
    """A world behind proxies, the calls that go through them, and the ways round them for those who look on."""

    world: World
    calls: Calls
    endpoint: str
    aws: LocalAws
    source: Database
    warehouse: Database

    def forget_the_dead(self) -> None:
        """Waits until the servers have noticed which sessions were cut."""
        for database in (self.source, self.warehouse):
            wait_until(f"sessions of {database.dbname} end", partial(_is_left, database))


@contextmanager
def proxied_world(spark: SparkSession, aws: LocalAws, source: Database, warehouse: Database) -> Iterator[ProxiedWorld]:
    """A deployed world whose source and warehouse are as they are given."""
    calls = Calls()
    with (
        closing(HttpProxy(aws.endpoint, calls)) as to_aws,
        _before(source, "source", calls) as to_source,
        _before(warehouse, "warehouse", calls) as to_warehouse,
    ):
        world = World(spark, _clients(to_aws.endpoint), to_source, to_warehouse)
        lead_through(spark, world, to_aws.endpoint)
        world.deploy()
        yield ProxiedWorld(world, calls, to_aws.endpoint, aws, source, warehouse)


def _is_left(database: Database) -> bool:
    """Whether no job has a session at the server any more."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND application_name LIKE 'totesys-%%'"
    with closing(database.server.connect("postgres")) as connection, connection.cursor() as cursor:
        cursor.execute(query, (database.dbname,))
        return bool(cursor.fetchone()[0] == 0)


@contextmanager
def _before(database: Database, kind: str, calls: Calls) -> Iterator[Credentials]:
    server = (database.credentials.host, database.credentials.port)
    with closing(PostgresProxy(server, kind, calls)) as proxy:
        yield replace(database.credentials, host="127.0.0.1", port=proxy.port)


def _clients(endpoint: str) -> Callable[[str], Any]:
    def client(service: str) -> Any:
        made = boto3.client(
            service, endpoint_url=endpoint, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test", config=_BOTO3
        )
        made.meta.events.register_first(f"needs-retry.{service}", _again_at_once)
        return made

    return client


def _again_at_once(response: Any, attempts: int, caught_exception: Exception | None, **_: Any) -> int | None:
    """One more try, without delay, where botocore's standard mode would try again: no answer, or 5xx."""
    failed = caught_exception is not None or (response is not None and response[0].status_code >= 500)
    return 0 if failed and attempts == 1 else None


def lead_through(spark: SparkSession, world: World, endpoint: str) -> None:
    """Leads Spark's calls for the world's buckets through the proxy: before the buckets are first used."""
    hadoop = spark.sparkContext._jsc.hadoopConfiguration()
    for bucket in (world.ingestion, world.processed):
        for name, value in {"endpoint": endpoint, **_S3A}.items():
            hadoop.set(f"fs.s3a.bucket.{bucket.name}.{name}", value)
