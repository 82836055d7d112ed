"""Build a publish from batches, in passes of bounded size, each on top of the previous pass. It counts once its manifest is committed."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime

from pyspark.sql import functions as F

from totesys.contracts import Contract, Contracts
from totesys.lake import layout
from totesys.lake.manifests import BatchManifest, PublishManifest
from totesys.runtime.logs import log_fields
from totesys.runtime.spark_session import name_jobs
from totesys.transform.changes import Publishing, SourceChange, TableChange, partitions_after
from totesys.transform.dimensions import publish_calendar, publish_joined_dimension
from totesys.transform.source_table import publish_source_table
from totesys.transform.spark_lake import SparkLake

log = logging.getLogger(__name__)

TABLES_AT_ONCE = 4  # Spark jobs of small tables mostly wait: for S3, planning, compiling
ROWS_PER_PASS = 5_000_000  # the batches of a long stop, or the whole history, are too many rows for one Spark job
BATCHES_PER_PASS = 200  # the plan of a pass names every batch


@dataclass(frozen=True)
class Work:
    """What a publish brings in.

    start    the lake to start from: the previous publish, or in a backfill the kept part of it
    batches  the batches with rows, oldest first
    tables   the source tables to take from the batches
    years    years that the calendar must have, even if no fact uses them
    """

    start: PublishManifest
    batches: tuple[BatchManifest, ...]
    tables: tuple[str, ...]
    years: frozenset[int] = field(default_factory=frozenset)


def publish(lake: SparkLake, contracts: Contracts, work: Work, seq: int, attempt: str, now: datetime) -> PublishManifest:
    """Bring the work's batches into its start, and write the result below prefixes of this attempt. Return the manifest to commit."""
    publish_id = layout.run_id(seq, attempt)
    lake_id = work.start.lake_id or work.batches[0].batch_id
    state, misses = work.start, Counter[str]()
    several = list(passes(work.batches))
    for number, batches in enumerate(several):
        pass_id = publish_id if number == 0 else f"{publish_id}-{number}"
        log.info("publish %s: batches %d to %d", pass_id, batches[0].seq, batches[-1].seq)
        # Years that no fact uses are added in the last pass: the warehouse may hold earlier batches without these years.
        years = work.years if batches is several[-1] else frozenset()
        state = _pass(lake, contracts, Publishing(state, batches, seq, pass_id, lake_id, work.tables, years))
        misses.update(state.misses)
    made = replace(
        state,
        seq=seq,
        publish_id=publish_id,
        previous_seq=work.start.seq,
        published_at=now.isoformat(timespec="milliseconds"),
        lake_id=lake_id,
        after_batch_seq=work.start.through_batch_seq,
        batches=tuple((batch.seq, batch.batch_id) for batch in work.batches),
        misses=dict(misses),
        changed_since=changed_since(work),
    )
    # A row that several passes changed counts once, and tables that the work did not take also have rows above the start.
    is_counted = len(several) == 1 and len(work.tables) == len(contracts.source)
    return made if is_counted else replace(made, new_rows=_new_rows(lake, contracts, made))


def changed_since(work: Work) -> dict[str, str]:
    """Return for each table the time of the last snapshot before its first change. All changes were committed after that time."""
    since: dict[str, str] = {}
    for batch in work.batches:
        for table in work.tables:
            capture = batch.tables.get(table)
            if capture and capture.rows and capture.previous_at:
                since[table] = min(since.get(table, capture.previous_at), capture.previous_at)
    return since


def passes(batches: Sequence[BatchManifest]) -> Iterator[tuple[BatchManifest, ...]]:
    """Yield the batches in order, as many at a time as one Spark job should merge. A batch is never divided."""
    some: list[BatchManifest] = []
    rows = 0
    for batch in batches:
        landed = sum(capture.rows for capture in batch.tables.values())
        if some and (rows + landed > ROWS_PER_PASS or len(some) == BATCHES_PER_PASS):
            yield tuple(some)
            some, rows = [], 0
        some.append(batch)
        rows += landed
    if some:
        yield tuple(some)


def _pass(lake: SparkLake, contracts: Contracts, publishing: Publishing) -> PublishManifest:
    """Return the lake after one pass. Only the manifest's fields that are replaced here are right."""
    previous = publishing.previous
    with ThreadPoolExecutor(TABLES_AT_ONCE) as pool:
        source_changes = pool.map(lambda table: _timed(lake, publishing, contracts, table), publishing.tables)
        changes = dict(zip(publishing.tables, source_changes))
        mirror = {**previous.mirror}
        for table, source_change in changes.items():
            mirror[table] = partitions_after(previous.mirror.get(table, {}), source_change.mirror)
        star: dict[str, TableChange] = {}
        for source_change in changes.values():
            star.update(source_change.star)
        joined = [dimension for dimension in contracts.dimensions.values() if _is_touched(dimension, changes)]
        made = pool.map(lambda dimension: publish_joined_dimension(lake, publishing, contracts, dimension, mirror), joined)
        spans = [source_change.dates for source_change in changes.values() if source_change.dates]
        star["dim_date"] = publish_calendar(lake, publishing, contracts.warehouse["dim_date"], spans)
        star.update({dimension.table: one for dimension, one in zip(joined, made)})
    for table, one in sorted(star.items()):
        log.info(
            "%s: %d new rows",
            table,
            one.new_rows,
            extra=log_fields("table published", {"RowsWritten": one.new_rows}, table=table, rows=one.new_rows),
        )
    return replace(
        previous,
        through_batch_seq=publishing.through_seq,
        mirror=mirror,
        star={table: partitions_after(previous.star.get(table, {}), star.get(table, TableChange())) for table in contracts.warehouse},
        new_rows={table: star.get(table, TableChange()).new_rows for table in contracts.warehouse},
        misses={table: source_change.misses for table, source_change in changes.items() if source_change.misses},
    )


def _timed(lake: SparkLake, publishing: Publishing, contracts: Contracts, table: str) -> SourceChange:
    name_jobs(lake.spark, table)
    started = time.monotonic()
    source_change = publish_source_table(lake, publishing, contracts, table)
    if source_change.mirror.states:
        rows, seconds = source_change.mirror.new_rows, time.monotonic() - started
        log.info(
            "%s: %d rows changed in %.1f s", table, rows, seconds,
            extra=log_fields("table published", table=table, rows=rows, seconds=round(seconds, 3)),
        )  # fmt: skip
    return source_change


def _is_touched(dimension: Contract, changes: dict[str, SourceChange]) -> bool:
    return len(dimension.inputs) > 1 and any(table in changes and changes[table].mirror.states for table in dimension.inputs)


def _new_rows(lake: SparkLake, contracts: Contracts, made: PublishManifest) -> dict[str, int]:
    """Return, for each warehouse table, how many rows have a batch above the start's."""
    counted = {}
    for table, contract in contracts.warehouse.items():
        states = [state for state in made.star.get(table, {}).values() if state.max_batch_seq > made.after_batch_seq]
        rows = lake.read(contract, contract.file_columns, states)
        counted[table] = rows.filter(F.col("batch_seq") > made.after_batch_seq).count() if states else 0
    return counted
