"""Run transform: publish all pending batches as one publish. If requested, rebuild the lake first."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from pyspark.sql import SparkSession

from totesys.contracts import load_contracts
from totesys.errors import RetriableError
from totesys.errors.spark import lake_errors
from totesys.lake import manifests, sweep
from totesys.lake.manifests import NO_PUBLISH, PartitionState, PublishManifest
from totesys.lake.pointers import follow, newest_publish_seq
from totesys.lake.store import AlreadyThereError, Bucket
from totesys.runtime import alerts
from totesys.runtime.alerts import Alert
from totesys.runtime.arguments import TransformArguments
from totesys.runtime.logs import log_fields
from totesys.runtime.run_request import RunRequest
from totesys.transform.backfill import backfill_work
from totesys.transform.publish import TABLES_AT_ONCE, Work, publish
from totesys.transform.spark_lake import SparkLake

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_glue import GlueClient
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TransformClients:
    """The AWS clients that transform uses."""

    s3: S3Client
    glue: GlueClient
    events: EventBridgeClient


@dataclass(frozen=True)
class TransformJob:
    """One run of transform.

    spark    returns a session; called only if there is something to publish
    attempt  makes the run's prefixes different from those of other runs
    now      the UTC time that the run's publishes get
    """

    spark: Callable[[], SparkSession]
    clients: TransformClients
    arguments: TransformArguments
    request: RunRequest
    attempt: str
    now: datetime

    def run(self) -> PublishManifest | None:
        """Publish the pending batches, and move the catalog's pointers. Return None when no batch was pending, or another run was first."""
        found = newest = manifests.newest_publish(self._processed)
        published = None
        if self.request.backfill and newest:
            newest = published = self._backfill(newest)
        before = newest or NO_PUBLISH
        batches = tuple(manifests.batches_after(self._ingestion, before.through_batch_seq))
        if batches:
            # If the bucket has lost its manifests, numbering continues from the numbers in the catalog.
            seq = 1 + (newest.seq if newest else newest_publish_seq(self.clients.glue, self._databases))
            published = self._commit(self._make(Work(before, batches, tuple(load_contracts().source)), seq))
        else:
            log.info("no batch is pending: publish %d is through batch %d", before.seq, before.through_batch_seq)
        # Every run moves the pointers, so that the next run repairs a crash between commit and move.
        self._move_pointers(published or manifests.newest_publish(self._processed) or NO_PUBLISH)
        if published and sweep.is_due(found or NO_PUBLISH, self.now):
            sweep.sweep(self._processed, published, self.now)
        return published

    def _backfill(self, newest: PublishManifest) -> PublishManifest:
        """Rebuild the requested tables and publish them. Misses are not reported again."""
        work = backfill_work(self._ingestion, self._processed, newest, load_contracts(), self.request)
        if not work.batches:
            log.info("nothing to rebuild: batch %d has not been published yet", self.request.backfill_from)
            return newest
        published = self._commit(replace(self._make(work, newest.seq + 1), misses={}, changed_since={}))
        if published is None:
            raise RetriableError("another publish was committed during the backfill: start scripts/totesys backfill again")
        return published

    def _make(self, work: Work, seq: int) -> PublishManifest:
        lake = SparkLake(self.spark(), self._ingestion.name, self._processed.name)
        with lake_errors():
            return publish(lake, load_contracts(), work, seq, self.attempt, self.now)

    def _commit(self, manifest: PublishManifest) -> PublishManifest | None:
        """Commit a publish. Return None when another run has taken its number; then that run's publish counts."""
        alerts.send(self.clients.events, self.arguments.project, [_miss(manifest, table, rows) for table, rows in manifest.misses.items()])
        try:
            manifests.commit(self._processed, manifest)
        except AlreadyThereError:
            log.info("another run committed publish %d meanwhile: this run's work is dropped", manifest.seq)
            return None
        log.info(
            "publish %s is committed: %d batches through %d", manifest.publish_id, len(manifest.batches), manifest.through_batch_seq,
            extra=log_fields("publish committed", batch=manifest.through_batch_seq, rows=sum(manifest.new_rows.values())),
        )  # fmt: skip
        return manifest

    def _move_pointers(self, manifest: PublishManifest) -> None:
        mirror, star = self._databases
        tables: list[tuple[str, str, dict[str, PartitionState]]] = [(mirror, table, states) for table, states in manifest.mirror.items()]
        tables += [(star, table, states) for table, states in manifest.star.items()]
        with ThreadPoolExecutor(TABLES_AT_ONCE) as pool:
            pending = [pool.submit(follow, self.clients.glue, *table, manifest.seq, self._processed.name) for table in tables]
            moved = sum(one.result() for one in pending)
        if moved:
            log.info("%d partitions of the catalog follow publish %s", moved, manifest.publish_id)

    @property
    def _ingestion(self) -> Bucket:
        return Bucket(self.clients.s3, self.arguments.ingestion_bucket)

    @property
    def _processed(self) -> Bucket:
        return Bucket(self.clients.s3, self.arguments.processed_bucket)

    @property
    def _databases(self) -> tuple[str, str]:
        return self.arguments.mirror_database, self.arguments.star_database


def _miss(manifest: PublishManifest, table: str, rows: int) -> Alert:
    return Alert(
        "full read found a miss", table, manifest.through_batch_seq,
        f"{table}: a full read found {rows} changed rows that no delta would have read. The rows are in now. Find out what wrote them"
        " outside of ordinary transactions, or report a fault of the capture",
    )  # fmt: skip
