"""What a publish changed in one table: the partitions that it wrote, and how many rows are new."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from totesys.contracts import Contract, Partition
from totesys.lake import layout
from totesys.lake.manifests import BatchManifest, PartitionState, PublishManifest

INITIAL = "initial"  # the day of the very first batch, so that small deltas never rewrite its partition


@dataclass(frozen=True)
class Publishing:
    """One pass of a publish in progress.

    previous    the lake that the pass starts from: the previous publish, or the result of the previous pass
    batches     the batches to bring in, oldest first
    seq         number of the publish
    publish_id  names the prefixes that the pass writes
    lake_id     id of the very first batch
    tables      the source tables whose rows the pass takes from the batches
    years       years that the calendar must have, even if no fact uses them
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
        """Return the newest batch that `previous` holds. Rows of later batches are new."""
        return self.previous.through_batch_seq

    @property
    def through_seq(self) -> int:
        return self.batches[-1].seq

    @property
    def day_of(self) -> dict[int, str]:
        """Return the UTC day of each batch, by its number."""
        return {batch.seq: INITIAL if batch.batch_id == self.lake_id else batch.ingest_date for batch in self.batches}


@dataclass(frozen=True)
class TableChange:
    """The partitions written, by value, and the number of rows whose batch is new. Empty if nothing changed."""

    states: Mapping[str, PartitionState] = field(default_factory=dict)
    new_rows: int = 0


DateSpan = tuple[datetime.date, datetime.date]  # the first day and the last


@dataclass(frozen=True)
class SourceChange:
    """What the batches of one source table changed.

    mirror  its mirror
    star    the warehouse tables made of this table alone
    dates   the first and last date in new fact rows
    misses  rows that a full read found changed although no delta would have read them
    """

    mirror: TableChange = field(default_factory=TableChange)
    star: Mapping[str, TableChange] = field(default_factory=dict)
    dates: DateSpan | None = None
    misses: int = 0


@dataclass(frozen=True)
class RangeCount:
    """The counts of one partition: all rows, rows whose batch is new, the highest batch, and the tombstones among the rows."""

    rows: int
    new_rows: int
    max_batch_seq: int
    deleted: int = 0


def table_change(counts: Mapping[str, RangeCount], prefix: str, contract: Contract, publish_seq: int) -> TableChange:
    """Return the change made by writing these partitions below `prefix`."""
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
    """Count rows per partition value, in one small job. `rows` has the partition's column and batch_seq."""
    counted = rows.groupBy(partition.name).agg(
        F.count("*").alias("all"), F.count_if(F.col("batch_seq") > published_seq).alias("new"), F.max("batch_seq").alias("newest")
    )
    return {str(row[partition.name]): RangeCount(row["all"], row["new"], row["newest"]) for row in counted.collect()}


def partitions_after(earlier: Mapping[str, PartitionState], change: TableChange) -> dict[str, PartitionState]:
    """Return a table's partitions after a change: the written partitions replace those with the same value."""
    return {**earlier, **change.states}
