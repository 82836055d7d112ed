"""Publish the dimensions that have several inputs or none: joined dimensions and the calendar."""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Mapping

from pyspark.sql import functions as F

from totesys.contracts import MIRROR_LINEAGE, Contract, Contracts
from totesys.lake import layout
from totesys.lake.manifests import PartitionState
from totesys.runtime.spark_session import name_jobs
from totesys.transform.changes import DateSpan, Publishing, RangeCount, TableChange, count_partitions, table_change
from totesys.transform.spark_lake import SparkLake, divided, key_range
from totesys.transform.tables import rows_of
from totesys.transform.tables.dim_date import dim_date


def publish_joined_dimension(
    lake: SparkLake, publishing: Publishing, contracts: Contracts, dimension: Contract, mirrors: Mapping[str, Mapping[str, PartitionState]]
) -> TableChange:
    """Rebuild the dimension from the new mirrors of its inputs, and write the key ranges that have a changed row.

    A row whose input row now lacks its partner stays as it was, since facts may refer to it.
    """
    name_jobs(lake.spark, dimension.table)
    states = {layout.mirror_table(table): list(mirrors.get(table, {}).values()) for table in dimension.inputs}
    known = list(publishing.previous.star.get(dimension.table, {}).values())
    lake.check({**states, layout.star_table(dimension.table): known})
    inputs = [
        lake.read(source, (*source.columns, *MIRROR_LINEAGE), states[layout.mirror_table(source.table)])
        for source in (contracts.source[table] for table in dimension.inputs)
    ]
    made = rows_of(dimension.table, *inputs)
    before = lake.read(dimension, dimension.file_columns, known)
    kept = before.join(made, dimension.key, how="left_anti")
    rows = made.unionByName(kept).select("*", key_range(dimension)).persist()
    try:
        counts = count_partitions(rows, dimension.partition, publishing.published_seq)
        changed = {value: count for value, count in counts.items() if count.new_rows}
        if not changed:
            return TableChange()
        prefix = layout.star_prefix(dimension.table, publishing.publish_id)
        touched = rows.filter(F.col(dimension.partition.name).isin([int(value) for value in changed]))
        divided_rows = divided(touched, dimension.partition, sum(count.rows for count in changed.values()))
        lake.write(divided_rows, prefix, dimension.partition)
        return table_change(changed, prefix, dimension, publishing.seq)
    finally:
        rows.unpersist()


def publish_calendar(lake: SparkLake, publishing: Publishing, dimension: Contract, spans: Iterable[DateSpan]) -> TableChange:
    """Add the years that are missing between the first and the last day that facts use. A year is a partition that never changes."""
    known = {int(year) for year in publishing.previous.star.get(dimension.table, {})}
    used = known | publishing.years | {day.year for span in spans for day in span}
    missing = [year for year in range(min(used), max(used) + 1) if year not in known] if used else []
    if not missing:
        return TableChange()
    prefix = layout.star_prefix(dimension.table, publishing.publish_id)
    days = dim_date(lake.spark, min(missing), max(missing), publishing.through_seq).withColumn(dimension.partition.name, F.col("year"))
    lake.write(days.filter(F.col("year").isin(missing)).coalesce(1), prefix, dimension.partition)
    lengths = {year: 366 if calendar.isleap(year) else 365 for year in missing}
    counts = {str(year): RangeCount(length, length, publishing.through_seq) for year, length in lengths.items()}
    return table_change(counts, prefix, dimension, publishing.seq)
