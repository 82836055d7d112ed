"""Run the load: bring the newest publish into the warehouse, and then look for a publish that was committed meanwhile.

Every tick of ingest compares the landed batches with the warehouse's own ledger, and announces pending batches. So the next tick also
starts this job for a warehouse that was lost or restored.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING

from pyspark.sql import SparkSession
from sqlalchemy import Connection

from totesys.contracts import Contracts
from totesys.errors import RetriableError
from totesys.errors.warehouse import warehouse_errors
from totesys.lake.manifests import newest_publish
from totesys.lake.store import Bucket
from totesys.load import backfill, ledger, staging
from totesys.load.freshness import changed_since
from totesys.load.merge import Tell, merge
from totesys.load.plan import Loaded, LoadPlan, plan_load
from totesys.load.staging import Staged, Staging
from totesys.load.tombstones import tombstoned
from totesys.load.waiting_rows import count_waiting
from totesys.runtime import alerts
from totesys.runtime.logs import log_fields
from totesys.runtime.run_request import ORDINARY_RUN, RunRequest
from totesys.runtime.secrets import Credentials
from totesys.warehouse import session
from totesys.warehouse.authority import with_one_certificate
from totesys.warehouse.server import prepare_warehouse, warehouse_engine

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient

_log = logging.getLogger(__name__)
_BACKFILL_TRIES = 2


@dataclass(frozen=True)
class LoadJob:
    """One run of the load.

    events   the client that sends alerts
    spark    returns a session; called only if there are rows to load
    attempt  8 random hex digits
    """

    project: str
    events: EventBridgeClient
    processed: Bucket
    credentials: Credentials
    contracts: Contracts
    spark: Callable[[], SparkSession]
    attempt: str
    request: RunRequest = ORDINARY_RUN

    def run(self) -> Loaded:
        """Load until the warehouse holds the newest publish. Return the newest load. Each publish is loaded whole or not at all.

        A requested backfill comes first.
        """
        engine = warehouse_engine(self.credentials, staging.session_name(self.attempt))
        # One session lasts from the first query to the commit. It shows other loads that this attempt's staging tables are in use.
        with warehouse_errors(self.credentials), engine.connect() as connection:
            created = prepare_warehouse(connection, self.contracts.warehouse)
            if created:
                _log.info("created in the warehouse: %s", ", ".join(created))
            staging.drop_dead(connection)
            if self.request.backfill:
                self._backfill(connection)
            while plan := self._plan(connection):
                self._load(connection, plan)
            with connection.begin():
                return ledger.newest(connection)

    def _backfill(self, connection: Connection) -> None:
        for _ in range(_BACKFILL_TRIES):
            publish = newest_publish(self.processed)
            with connection.begin():
                loaded, base = ledger.newest(connection), ledger.newest_below(connection, self.request.backfill_from)
                work = backfill.plan_backfill(publish, loaded, base, tombstoned(connection), self.contracts, self.request)
            if work is None:
                return
            if self._bring_in(connection, work.plan, partial(backfill.replace, connection, work, self.contracts.warehouse, self._tell)):
                return
        raise RetriableError("other loads were faster than the backfill, twice. Nothing was rebuilt: start scripts/totesys backfill again")

    def _plan(self, connection: Connection) -> LoadPlan | None:
        with connection.begin():
            loaded, with_tombstones = ledger.newest(connection), tombstoned(connection)
        plan = plan_load(newest_publish(self.processed), loaded, with_tombstones)
        if plan is None:
            counts = {"CaughtUp": 1, "WaitingRows": count_waiting(connection, self.contracts)}
            _log.info(
                "nothing to load: the warehouse holds publish %d, through batch %d", loaded.publish_seq, loaded.through_batch_seq,
                extra=log_fields("nothing new", counts, batch=loaded.through_batch_seq),
            )  # fmt: skip
        return plan

    def _load(self, connection: Connection, plan: LoadPlan) -> None:
        if self._bring_in(connection, plan, partial(merge, connection, plan, self.contracts.warehouse, self._tell)):
            self._tell_freshness(plan)

    def _tell_freshness(self, plan: LoadPlan) -> None:
        now = datetime.now(timezone.utc)
        for table, since in changed_since(self.processed, plan).items():
            seconds = (now - since).total_seconds()
            _log.info(
                "%s: its loaded changes are at most %.0f s old",
                table,
                seconds,
                extra=log_fields("table merged", {"Freshness": seconds}, table=table, seconds=round(seconds)),
            )

    @property
    def _tell(self) -> Tell:
        return partial(alerts.send, self.events, self.project)

    def _bring_in(self, connection: Connection, plan: LoadPlan, transaction: Callable[[Staged], bool]) -> bool:
        """Stage the plan's rows, and run the transaction that brings them in. Return False when another load was first."""
        started = time.monotonic()
        publish = plan.publish
        _log.info("loading publish %d: batches above %d through %d", publish.seq, plan.after_batch_seq, publish.through_batch_seq)
        options = session.writer_options(connection.connection.dbapi_connection)  # type: ignore[arg-type]  # always psycopg2's
        writer = staging.StagingWriter(with_one_certificate(self.credentials), self.attempt, options)
        stage = Staging(self.processed.name, self.contracts, self.spark, writer)
        tables = stage.tables(plan)
        staging.create(connection, tables.values())
        staged = stage.fill(plan, tables)
        is_in = transaction(staged)
        if is_in:
            rows, seconds = sum(staged.rows.values()), time.monotonic() - started
            _log.info(
                "loaded publish %d: %d rows in %.1f s", publish.seq, rows, seconds,
                extra=log_fields(
                    "load committed", {"RowsWritten": rows}, batch=publish.through_batch_seq, rows=rows, seconds=round(seconds, 3)
                ),
            )  # fmt: skip
        return is_in
