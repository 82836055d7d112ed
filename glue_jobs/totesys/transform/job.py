"""One transform run: every waiting batch into one publish."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pyspark.sql import SparkSession

from totesys import layout, manifests
from totesys.arguments import TransformArguments
from totesys.contracts import Contract, Contracts, load_contracts
from totesys.demands import Demands
from totesys.manifests import NO_PUBLISH, PublishManifest
from totesys.pointers import move_partitions
from totesys.store import AlreadyThereError, Bucket
from totesys.transform import sweep
from totesys.transform.changes import Publishing, SourceChange, TableChange, partitions_after
from totesys.transform.dimensions import publish_calendar, publish_joined_dimension
from totesys.transform.lake import Lake
from totesys.transform.source_table import publish_source_table

log = logging.getLogger(__name__)

TABLES_AT_ONCE = 4  # Spark jobs of small tables are mostly waiting: S3, planning, compiling


@dataclass(frozen=True)
class Clients:
    """The AWS clients that transform uses."""

    s3: Any
    glue: Any
    events: Any


def run(
    spark: SparkSession, clients: Clients, arguments: TransformArguments, demands: Demands, attempt: str, now: datetime
) -> PublishManifest | None:
    """Publishes what waits, and moves the catalog's pointers to the newest publish. None when nothing waited or another run was first.

    `attempt` makes this run's prefixes its own; `now` is the UTC time that the publish is stamped with."""
    ingestion, processed = Bucket(clients.s3, arguments.ingestion_bucket), Bucket(clients.s3, arguments.processed_bucket)
    previous = manifests.newest_publish(processed) or NO_PUBLISH
    batches = tuple(manifests.batches_after(ingestion, previous.through_batch_seq))
    published = None
    if batches:
        publishing = Publishing(previous, batches, layout.run_id(previous.seq + 1, attempt))
        log.info("publish %s: batches %d to %d", publishing.publish_id, batches[0].seq, batches[-1].seq)
        manifest = _publish(Lake(spark, ingestion.name, processed.name), publishing, now)
        try:
            manifests.commit(processed, manifest)
            published = manifest
        except AlreadyThereError:
            log.info("publish %d was committed by another run meanwhile: stepping back, its work stands", manifest.seq)
    else:
        log.info("no batch is waiting: publish %d is through batch %d", previous.seq, previous.through_batch_seq)
    # Every run moves the pointers, so that a crash between commit and move is healed by the next.
    _move_pointers(clients.glue, processed, arguments, published or manifests.newest_publish(processed) or NO_PUBLISH)
    if published and sweep.is_due(previous, now):
        sweep.sweep(processed, published, now)
    return published


def _publish(lake: Lake, publishing: Publishing, now: datetime) -> PublishManifest:
    contracts = load_contracts()
    with ThreadPoolExecutor(TABLES_AT_ONCE) as pool:
        changes = dict(zip(contracts.source, pool.map(lambda table: _timed(lake, publishing, contracts, table), contracts.source)))
        current = {
            table: partitions_after(publishing.previous.current.get(table, {}), source_change.current)
            for table, source_change in changes.items()
        }
        warehouse: dict[str, TableChange] = {}
        for source_change in changes.values():
            warehouse.update(source_change.warehouse)
        joined = [dimension for dimension in contracts.dimensions.values() if _is_touched(dimension, changes)]
        made = pool.map(lambda dimension: publish_joined_dimension(lake, publishing, contracts, dimension, current), joined)
        spans = [source_change.dates for source_change in changes.values() if source_change.dates]
        warehouse["dim_date"] = publish_calendar(lake, publishing, contracts.warehouse["dim_date"], spans)
        warehouse.update({dimension.table: one for dimension, one in zip(joined, made)})
    for table, one in sorted(warehouse.items()):
        log.info("%s: %d new rows", table, one.new_rows)
    return PublishManifest(
        seq=publishing.seq,
        publish_id=publishing.publish_id,
        previous_seq=publishing.previous.seq,
        published_at=now.isoformat(timespec="milliseconds"),
        origin=publishing.previous.origin or publishing.batches[0].batch_id,
        after_batch_seq=publishing.previous.through_batch_seq,
        through_batch_seq=publishing.through_seq,
        batches=tuple((batch.seq, batch.batch_id) for batch in publishing.batches),
        current=current,
        warehouse={
            table: partitions_after(publishing.previous.warehouse.get(table, {}), warehouse.get(table, TableChange()))
            for table in contracts.warehouse
        },
        new_rows={table: warehouse.get(table, TableChange()).new_rows for table in contracts.warehouse},
    )


def _timed(lake: Lake, publishing: Publishing, contracts: Contracts, table: str) -> SourceChange:
    started = datetime.now()
    source_change = publish_source_table(lake, publishing, contracts, table)
    if source_change.current.states:
        log.info("%s: %d rows changed in %.1f s", table, source_change.current.new_rows, (datetime.now() - started).total_seconds())
    return source_change


def _is_touched(dimension: Contract, changes: dict[str, SourceChange]) -> bool:
    return len(dimension.inputs) > 1 and any(changes[table].current.states for table in dimension.inputs)


def _move_pointers(glue: Any, processed: Bucket, arguments: TransformArguments, manifest: PublishManifest) -> None:
    moves = [(arguments.current_database, table, states) for table, states in manifest.current.items()]
    moves += [(arguments.processed_database, table, states) for table, states in manifest.warehouse.items()]
    with ThreadPoolExecutor(TABLES_AT_ONCE) as pool:
        pending = [pool.submit(move_partitions, glue, database, table, states, processed.name) for database, table, states in moves]
        moved = sum(one.result() for one in pending)
    if moved:
        log.info("%d partitions of the catalog point to publish %s", moved, manifest.publish_id)
