"""Stage the rows of one attempt: Spark writes them in parallel into staging tables that only this attempt reads.

A session with the attempt's name exists as long as the attempt lives. Tables of an attempt without a session are dead, and any load may
drop them. So two loads at once never touch each other's tables.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import ceil
from urllib.parse import quote

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from sqlalchemy import Connection, MetaData, Table, inspect, text
from sqlalchemy.schema import CreateTable, DropTable

from totesys.contracts import Contracts
from totesys.errors.warehouse import spark_errors
from totesys.load import lake_rows
from totesys.load.plan import LoadPlan
from totesys.runtime.secrets import Credentials
from totesys.runtime.spark_session import name_jobs
from totesys.warehouse.models import ETL_SCHEMA, STAGING, TOMBSTONE, staging_table, tombstone_staging_table

_log = logging.getLogger(__name__)
_TABLES_AT_ONCE = 4  # while one table waits, the warehouse and Spark have time for another
_WRITERS = 4  # sessions per table; the warehouse also serves other clients
_ROWS_PER_WRITER = 100_000  # for fewer rows, one session is as fast
_ROWS_PER_BATCH = 5_000


def session_name(attempt: str) -> str:
    """Return the application_name of an attempt's sessions, which every role can see in pg_stat_activity."""
    return f"totesys-load-{attempt}"


def drop_dead(connection: Connection) -> list[str]:
    """Drop the staging tables of attempts that have no session any more. Return the tables' names."""
    with connection.begin():
        names = inspect(connection).get_table_names(schema=ETL_SCHEMA)
        # Sessions are read after the tables' names, since an attempt connects before it creates its first table.
        alive = set(connection.scalars(text("SELECT application_name FROM pg_stat_activity")))
        found = [STAGING.fullmatch(name) for name in names]
        dead = [match[0] for match in found if match and session_name(match[1]) not in alive]
        for name in dead:
            connection.execute(DropTable(Table(name, MetaData(schema=ETL_SCHEMA)), if_exists=True))  # another load may have dropped it
    return dead


def create(connection: Connection, tables: Iterable[Table]) -> None:
    """Create the attempt's tables, all or none."""
    with connection.begin():
        for table in tables:
            connection.execute(CreateTable(table))


def drop(connection: Connection, tables: Iterable[Table]) -> None:
    """Drop the attempt's tables, inside the caller's transaction."""
    for table in tables:
        connection.execute(DropTable(table))


@dataclass(frozen=True)
class StagingWriter:
    """Writes frames into staging tables over JDBC. `options` are the settings of its sessions (session.py).

    The credentials have at most one certificate (authority.py).
    """

    credentials: Credentials
    attempt: str
    options: str

    def write(self, rows: DataFrame, table: Table, at_most: int) -> None:
        """Append the rows. Each Spark task has its own transaction. `at_most` is the largest possible number of rows: it decides how many
        sessions write."""
        writers = min(_WRITERS, ceil(at_most / _ROWS_PER_WRITER))
        _with_dates_as_text(rows).coalesce(writers).write.jdbc(self._url, str(table), mode="append", properties=self._properties)

    @property
    def _url(self) -> str:
        host = f"[{self.credentials.host}]" if ":" in self.credentials.host else self.credentials.host
        return f"jdbc:postgresql://{host}:{self.credentials.port}/{quote(self.credentials.dbname, safe='')}"

    @property
    def _authority(self) -> dict[str, str]:
        """Return the driver's options for the certificate. They hold the certificate itself, since the workers have no file with it."""
        if not self.credentials.ca:
            return {}
        return {"sslfactory": "org.postgresql.ssl.SingleCertValidatingFactory", "sslfactoryarg": self.credentials.ca}

    @property
    def _properties(self) -> dict[str, str]:
        """Return the driver's options. The password is here and not in the URL: Spark redacts this property, but shows URLs in plans."""
        return {
            "driver": "org.postgresql.Driver",
            "user": self.credentials.username,
            "password": self.credentials.password,
            "sslmode": self.credentials.sslmode,
            **self._authority,
            "ApplicationName": session_name(self.attempt),
            "options": self.options,
            "reWriteBatchedInserts": "true",  # many rows per INSERT: 2.5 times as fast
            "batchsize": str(_ROWS_PER_BATCH),
            "stringtype": "unspecified",  # the server casts text to the column's type: dates, and times of day, which are text in the lake
            "logServerErrorDetail": "false",  # the default would put the rows of a failed batch into the exception and the log
            "tcpKeepAlive": "true",
            "connectTimeout": "10",
        }


def _with_dates_as_text(rows: DataFrame) -> DataFrame:
    """Return the rows with each date as text (YYYY-MM-DD). Spark uses java.sql.Date for JDBC, which lacks 1582-10-05 to 1582-10-14."""
    texts = {name: F.col(name).cast("string") for name, kind in rows.dtypes if kind == "date"}
    return rows.withColumns(texts) if texts else rows


@dataclass(frozen=True)
class Staged:
    """What an attempt has staged for a plan: by warehouse table or `tombstone`, its staging tables and how many rows each must hold."""

    tables: Mapping[str, Table]
    rows: Mapping[str, int]


@dataclass(frozen=True)
class Staging:
    """One attempt's staging of plans from a processed bucket. `spark` returns a session; it is called only if there are files to read."""

    bucket: str
    contracts: Contracts
    spark: Callable[[], SparkSession]
    writer: StagingWriter

    def tables(self, plan: LoadPlan) -> dict[str, Table]:
        """Return the staging tables that the plan needs, by warehouse table; also `tombstone` if there are mirrors to read."""
        tables = {table: staging_table(self.contracts.warehouse[table], self.writer.attempt) for table in plan.stars}
        if any(rows.partitions for rows in plan.mirrors.values()):
            tables[TOMBSTONE] = tombstone_staging_table(self.writer.attempt)
        return tables

    def fill(self, plan: LoadPlan, tables: Mapping[str, Table]) -> Staged:
        """Write the plan's rows into the staging tables, a few tables at once."""
        written = [table for table in tables if table == TOMBSTONE or plan.stars[table].partitions]
        rows = dict.fromkeys(tables, 0)
        if not written:
            return Staged(tables, rows)
        spark = self.spark()

        def write(table: str) -> int:
            name_jobs(spark, table)
            started = time.monotonic()
            staged = self._keys(spark, plan, tables[table]) if table == TOMBSTONE else self._rows(spark, plan, table, tables[table])
            _log.info("%s: %d rows staged in %.1f s", table, staged, time.monotonic() - started)
            return staged

        with spark_errors(self.writer.credentials):
            pool = ThreadPoolExecutor(_TABLES_AT_ONCE, thread_name_prefix="stage")
            try:
                return Staged(tables, rows | dict(zip(written, pool.map(write, written))))
            finally:
                pool.shutdown(cancel_futures=True)

    def _rows(self, spark: SparkSession, plan: LoadPlan, table: str, staged: Table) -> int:
        rows, counts = lake_rows.star_rows(spark, self.bucket, plan, self.contracts.warehouse[table])
        self.writer.write(rows, staged, at_most=plan.stars[table].in_files)
        counted = counts.get
        lake_rows.check_star_counts(plan, table, **counted)
        return int(counted["wanted"])

    def _keys(self, spark: SparkSession, plan: LoadPlan, staged: Table) -> int:
        keys, counts = lake_rows.mirror_keys(spark, self.bucket, plan, self.contracts.source)
        self.writer.write(keys, staged, at_most=sum(rows.in_files for rows in plan.mirrors.values()))
        counted = counts.get
        lake_rows.check_mirror_counts(plan, counted["total"], counted["deleted"])
        return int(counted["wanted"])
