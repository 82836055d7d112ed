"""What a publish did to one table: the partitions that it wrote, and how many rows are new."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from totesys import layout
from totesys.contracts import Partition
from totesys.manifests import BatchManifest, PartitionState, PublishManifest


@dataclass(frozen=True)
class Publishing:
    """The publish in progress. `previous` is the one before it: publish 0, with nothing in it, before the first."""

    previous: PublishManifest
    batches: tuple[BatchManifest, ...]
    publish_id: str

    @property
    def seq(self) -> int:
        return self.previous.seq + 1

    @property
    def loaded_seq(self) -> int:
        """The newest batch that the previous publish has in: rows of later batches are new."""
        return self.previous.through_batch_seq

    @property
    def through_seq(self) -> int:
        return self.batches[-1].seq

    @property
    def day_of(self) -> dict[int, str]:
        """The UTC day of each batch, by its number."""
        return {batch.seq: batch.ingest_date for batch in self.batches}


@dataclass(frozen=True)
class TableChange:
    """Partitions written (by value) and the number of rows whose batch is new. Empty when nothing changed."""

    states: Mapping[str, PartitionState] = field(default_factory=dict)
    new_rows: int = 0


DateSpan = tuple[datetime.date, datetime.date]  # the first day and the last


@dataclass(frozen=True)
class SourceChange:
    """What one source table's batches changed: its mirror, the warehouse tables made of it alone, and the span of dates in new facts."""

    current: TableChange = field(default_factory=TableChange)
    warehouse: Mapping[str, TableChange] = field(default_factory=dict)
    dates: DateSpan | None = None


@dataclass(frozen=True)
class RangeCount:
    """Of one partition: all its rows, those whose batch is new, and the highest batch."""

    rows: int
    new_rows: int
    max_batch_seq: int


def table_change(counts: Mapping[str, RangeCount], prefix: str, partition: Partition, publish_seq: int) -> TableChange:
    """The change that writing these partitions below `prefix` makes."""
    states = {
        value: PartitionState(layout.partition_prefix(prefix, partition.name, value), publish_seq, count.rows, count.max_batch_seq)
        for value, count in counts.items()
    }
    return TableChange(states, sum(count.new_rows for count in counts.values()))


def count_partitions(rows: DataFrame, partition: Partition, loaded_seq: int) -> dict[str, RangeCount]:
    """Counts per partition value, in one small job; `rows` has the partition's column and batch_seq."""
    counted = rows.groupBy(partition.name).agg(
        F.count("*").alias("all"), F.count_if(F.col("batch_seq") > loaded_seq).alias("new"), F.max("batch_seq").alias("newest")
    )
    return {str(row[partition.name]): RangeCount(row["all"], row["new"], row["newest"]) for row in counted.collect()}


def partitions_after(earlier: Mapping[str, PartitionState], change: TableChange) -> dict[str, PartitionState]:
    """A table's partitions after a change: those written replace their namesakes."""
    return {**earlier, **change.states}
