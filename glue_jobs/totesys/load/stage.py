"""What a plan wants, written from the lake into an attempt's staging tables by Spark, and counted."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pyspark.sql import SparkSession
from sqlalchemy import Table

from totesys.contracts import Contracts
from totesys.load import lake
from totesys.load.failures import spark_errors
from totesys.load.merge import Staged
from totesys.load.models import TOMBSTONE, staging_table, tombstone_staging_table
from totesys.load.plan import Plan
from totesys.load.staging import StagingWriter
from totesys.spark_session import name_jobs

_log = logging.getLogger(__name__)
_TABLES_AT_ONCE = 4  # the warehouse and Spark both have time for another table while one waits


@dataclass(frozen=True)
class Stage:
    """One attempt's staging of plans from a processed bucket. `spark` is asked for a session when there are files to read."""

    bucket: str
    contracts: Contracts
    spark: Callable[[], SparkSession]
    writer: StagingWriter

    def tables(self, plan: Plan) -> dict[str, Table]:
        """The staging tables that the plan needs, by warehouse table; with `tombstone` when there are mirrors to read."""
        tables = {table: staging_table(self.contracts.warehouse[table], self.writer.attempt) for table in plan.stars}
        if any(rows.partitions for rows in plan.mirrors.values()):
            tables[TOMBSTONE] = tombstone_staging_table(self.writer.attempt)
        return tables

    def fill(self, plan: Plan, tables: Mapping[str, Table]) -> Staged:
        """Writes all of them, a few at once."""
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

    def _rows(self, spark: SparkSession, plan: Plan, table: str, staged: Table) -> int:
        rows, counts = lake.star_rows(spark, self.bucket, plan, self.contracts.warehouse[table])
        self.writer.write(rows, staged, at_most=plan.stars[table].in_files)
        counted = counts.get
        lake.check_star_counts(plan, table, **counted)
        return int(counted["wanted"])

    def _keys(self, spark: SparkSession, plan: Plan, staged: Table) -> int:
        keys, counts = lake.mirror_keys(spark, self.bucket, plan, self.contracts.source)
        self.writer.write(keys, staged, at_most=sum(rows.in_files for rows in plan.mirrors.values()))
        counted = counts.get
        lake.check_mirror_counts(plan, counted["total"], counted["deleted"])
        return int(counted["wanted"])
