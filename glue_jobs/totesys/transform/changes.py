"""What a publish did to one table: the partitions that it wrote, and how many rows are new."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from totesys.contracts import Contract, Partition
from totesys.lake import layout
from totesys.lake.manifests import BatchManifest, PartitionState, PublishManifest

INITIAL = "initial"  # the day of the first batch of all: small deltas never rewrite its partition


@dataclass(frozen=True)
class Publishing:
    """One pass of a publish in progress.

    previous    the lake that the pass works on: the publish before it, or what the pass before it made
    batches     the batches that it brings in, oldest first
    seq         number of the publish
    publish_id  names the prefixes that the pass writes
    lake_id     id of the first batch of all
    tables      the source tables whose batches it brings in
    years       years that the calendar must have, whatever the facts use
    """

    previous: PublishManifest
    batches: tuple[BatchManifest, ...]
    seq: int
    publish_id: str
    lake_id: str
    tables: tuple[str, ...]
    years: frozenset[int] = frozenset()

    @property
    def published_seq(self) -> int:
        """The newest batch that `previous` has in: rows of later batches are new."""
        return self.previous.through_batch_seq

    @property
    def through_seq(self) -> int:
        return self.batches[-1].seq

    @property
    def day_of(self) -> dict[int, str]:
        """The UTC day of each batch, by its number."""
        return {batch.seq: INITIAL if batch.batch_id == self.lake_id else batch.ingest_date for batch in self.batches}


@dataclass(frozen=True)
class TableChange:
    """Partitions written (by value) and the number of rows whose batch is new. Empty when nothing changed."""

    states: Mapping[str, PartitionState] = field(default_factory=dict)
    new_rows: int = 0


DateSpan = tuple[datetime.date, datetime.date]  # the first day and the last


@dataclass(frozen=True)
class SourceChange:
    """What one source table's batches changed: its mirror, the warehouse tables made of it alone, the span of dates in new facts, and
    rows that a full read found different though no delta would have offered them."""

    mirror: TableChange = field(default_factory=TableChange)
    star: Mapping[str, TableChange] = field(default_factory=dict)
    dates: DateSpan | None = None
    misses: int = 0


@dataclass(frozen=True)
class RangeCount:
    """Of one partition: all its rows, those whose batch is new, the highest batch, and the tombstones among the rows."""

    rows: int
    new_rows: int
    max_batch_seq: int
    deleted: int = 0


def table_change(counts: Mapping[str, RangeCount], prefix: str, contract: Contract, publish_seq: int) -> TableChange:
    """The change that writing these partitions below `prefix` makes."""
    states = {
        value: PartitionState(
            layout.partition_prefix(prefix, contract.partition.name, value),
            publish_seq,
            count.rows,
            count.max_batch_seq,
            count.deleted,
            contract.version,
        )
        for value, count in counts.items()
    }
    return TableChange(states, sum(count.new_rows for count in counts.values()))


def count_partitions(rows: DataFrame, partition: Partition, published_seq: int) -> dict[str, RangeCount]:
    """Counts per partition value, in one small job; `rows` has the partition's column and batch_seq."""
    counted = rows.groupBy(partition.name).agg(
        F.count("*").alias("all"), F.count_if(F.col("batch_seq") > published_seq).alias("new"), F.max("batch_seq").alias("newest")
    )
    return {str(row[partition.name]): RangeCount(row["all"], row["new"], row["newest"]) for row in counted.collect()}


def partitions_after(earlier: Mapping[str, PartitionState], change: TableChange) -> dict[str, PartitionState]:
    """A table's partitions after a change: those written replace their namesakes."""
    return {**earlier, **change.states}
