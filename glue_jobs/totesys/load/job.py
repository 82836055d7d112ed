"""The load job: brings the newest publish into the warehouse, and looks again for one that has come meanwhile."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pyspark.sql import SparkSession
from sqlalchemy import Connection, Table

from totesys.contracts import Contract
from totesys.demands import NO_DEMANDS, Demands
from totesys.load import lake, staging
from totesys.load.failures import spark_errors, warehouse_errors
from totesys.load.merge import merge, read_ledger
from totesys.load.models import staging_table
from totesys.load.plan import Loaded, Plan, plan_load
from totesys.load.warehouse import prepare_warehouse, warehouse_engine
from totesys.manifests import newest_publish
from totesys.secrets import Credentials
from totesys.store import Bucket
from totesys.waiting import loaded_through, mark_loaded

_log = logging.getLogger(__name__)
_TABLES_AT_ONCE = 4  # the warehouse and Spark both have time for another table while one waits


@dataclass(frozen=True)
class LoadJob:
    """One run of the load. `spark` is asked for a session when there are rows to load; `attempt` is 8 random hex digits."""

    processed: Bucket
    credentials: Credentials
    warehouse: dict[str, Contract]
    spark: Callable[[], SparkSession]
    attempt: str
    demands: Demands = NO_DEMANDS

    def run(self) -> Loaded:
        """Loads until the warehouse holds the newest publish; says what it holds. Each publish is in whole or not at all."""
        engine = warehouse_engine(self.credentials, staging.session_name(self.attempt))
        # One session from the first look to the commit: it is the sign that this attempt's staging tables are in use.
        with warehouse_errors(self.credentials), engine.connect() as connection:
            created = prepare_warehouse(connection, self.warehouse)
            if created:
                _log.info("created in the warehouse: %s", ", ".join(created))
            staging.drop_dead(connection)
            while plan := self._plan(connection):
                self._load(connection, plan)
            with connection.begin():
                return read_ledger(connection)

    def _plan(self, connection: Connection) -> Plan | None:
        with connection.begin():
            loaded = read_ledger(connection)
        plan = plan_load(newest_publish(self.processed), loaded)
        if plan is None:
            _log.info("nothing to load: the warehouse holds publish %d, through batch %d", loaded.publish_seq, loaded.through_batch_seq)
            # A run that died after its commit left the marker behind, and ingest would announce the same work for ever.
            if loaded_through(self.processed) != loaded.through_batch_seq:
                mark_loaded(self.processed, loaded.publish_seq, loaded.through_batch_seq)
        return plan

    def _load(self, connection: Connection, plan: Plan) -> None:
        started = time.monotonic()
        _log.info("loading publish %d: batches above %d through %d", plan.publish.seq, plan.after_batch_seq, plan.publish.through_batch_seq)
        staged = {table: staging_table(self.warehouse[table], self.attempt) for table in plan.partitions}
        staging.create(connection, staged.values())
        expected = self._stage(plan, staged)
        if merge(connection, plan, self.warehouse, staged, expected):
            mark_loaded(self.processed, plan.publish.seq, plan.publish.through_batch_seq)
            _log.info("loaded publish %d: %d rows in %.1f s", plan.publish.seq, sum(expected.values()), time.monotonic() - started)

    def _stage(self, plan: Plan, staged: dict[str, Table]) -> dict[str, int]:
        """Writes all staging tables, a few at once; returns how many rows each must hold."""
        spark = self.spark()
        writer = staging.StagingWriter(self.credentials, self.attempt)

        def stage(table: str) -> int:
            started = time.monotonic()
            rows, counts = lake.new_rows(spark, self.processed.name, plan, self.warehouse[table])
            writer.write(rows, staged[table], at_most=sum(state.rows for state in plan.partitions[table]))
            lake.check_counts(plan, table, **counts.get)
            _log.info("%s: %d rows staged in %.1f s", table, counts.get["new"], time.monotonic() - started)
            return int(counts.get["new"])

        with spark_errors(self.credentials):
            pool = ThreadPoolExecutor(_TABLES_AT_ONCE, thread_name_prefix="stage")
            try:
                return dict(zip(staged, pool.map(stage, staged)))
            finally:
                pool.shutdown(cancel_futures=True)
