"""Publish one source table: its mirror, and the dimensions and facts that are made of this table alone."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, Observation
from pyspark.sql import functions as F

from totesys.contracts import MIRROR_LINEAGE, RAW_LINEAGE, Contract, Contracts
from totesys.errors import BadDataError
from totesys.lake import layout
from totesys.lake.manifests import PartitionState, TableCapture
from totesys.transform.changes import DateSpan, Publishing, RangeCount, SourceChange, TableChange, table_change
from totesys.transform.merge import first_states, merge
from totesys.transform.spark_lake import ROWS_PER_FILE, SparkLake, are_few, check_capture, check_rows, divided, key_range
from totesys.transform.tables import rows_of

_XID_MASK = 2**32 - 1  # rows carry the lower 32 bits of the transaction that wrote them


@dataclass(frozen=True)
class _Merged:
    """The merged states and their counts.

    ranges    rows of the new mirror, per key range
    versions  new fact versions, per batch
    dates     the first and last date in the new fact versions
    misses    rows whose change only a full read found
    """

    states: DataFrame
    ranges: dict[str, RangeCount]
    versions: dict[int, int]
    dates: DateSpan | None
    misses: int


def publish_source_table(lake: SparkLake, publishing: Publishing, contracts: Contracts, table: str) -> SourceChange:
    """Merge the batches' rows of one table, and write the key ranges and days that differ."""
    contract = contracts.source[table]
    captures = {
        batch.seq: batch.tables[table]
        for batch in publishing.batches
        if table in batch.tables and (batch.tables[table].rows or batch.tables[table].mode == "full")
    }
    if not captures:
        return SourceChange()
    fact = next((fact for fact in contracts.facts.values() if fact.inputs == (table,)), None)
    known = _known(lake, publishing, contract, captures)
    states = _merged_states(lake, publishing, contract, captures, known, fact).persist()
    try:
        merged = _counted(states, contract, fact, publishing, captures, known)
        if not merged.ranges:
            return SourceChange()
        return _write(lake, publishing, contracts, contract, fact, merged)
    finally:
        states.unpersist()


def _captured(lake: SparkLake, contract: Contract, captures: dict[int, TableCapture]) -> DataFrame:
    files = {landed.key: capture.contract_version for capture in captures.values() for landed in capture.files}
    return lake.read_raw(contract, (*contract.columns, *RAW_LINEAGE), files)


def _known(lake: SparkLake, publishing: Publishing, contract: Contract, captures: dict[int, TableCapture]) -> list[PartitionState]:
    """Return the key ranges of the mirror that the captures may change."""
    known = publishing.previous.mirror.get(contract.table, {})
    if len(known) > 1 and not any(capture.mode == "full" for capture in captures.values()):
        touched = _captured(lake, contract, captures).select(key_range(contract)).distinct().collect()
        known = {str(row[0]): known[str(row[0])] for row in touched if str(row[0]) in known}
    return list(known.values())


def _merged_states(
    lake: SparkLake,
    publishing: Publishing,
    contract: Contract,
    captures: dict[int, TableCapture],
    known: Collection[PartitionState],
    fact: Contract | None,
) -> DataFrame:
    captured = _captured(lake, contract, captures).withColumn("_is_offered", _is_offered(publishing, captures))
    full_seqs = [seq for seq, capture in captures.items() if capture.mode == "full"]
    is_one_task = are_few(sum(state.rows for state in known) + sum(capture.rows for capture in captures.values()))
    version_columns = _version_columns(contract, fact)
    if not known and len(captures) == 1:
        first = first_states(captured, contract, version_columns)
        return first.coalesce(1) if is_one_task else first
    mirror = lake.read(contract, (*contract.columns, *MIRROR_LINEAGE), known)
    # The very first capture cannot delete anything.
    can_delete = [seq for seq in full_seqs if known or seq > min(captures)]
    kept_out = lake.read_kept_out({seq: dead for seq in can_delete if (dead := captures[seq].dead_letters)})
    return merge(mirror, captured, can_delete, contract, version_columns, kept_out, is_one_task)


def _is_offered(publishing: Publishing, captures: dict[int, TableCapture]) -> SparkColumn:
    """Return whether a delta would have read the row, which is written at or after the transaction that the delta starts from.

    Transaction ids wrap around at 32 bits. True for every row of a delta, and of a full read that could not have been a delta.
    """
    offered = F.lit(True)
    for batch in publishing.batches:
        since = captures[batch.seq].since_xmin if batch.seq in captures else None
        if since is not None:
            distance = F.pmod(F.col("source_xid") - F.lit(since & _XID_MASK), F.lit(_XID_MASK + 1))
            offered = F.when(F.col("batch_seq") == batch.seq, distance < F.lit(batch.snapshot_xmax - since)).otherwise(offered)
    return offered


def _version_columns(contract: Contract, fact: Contract | None) -> list[str]:
    """Return the source columns that the fact keeps."""
    if fact is None:
        return []
    kept = {column.origin for column in fact.columns}
    return [column.name for column in contract.columns if f"{contract.table}.{column.name}" in kept]


def _counted(
    states: DataFrame,
    contract: Contract,
    fact: Contract | None,
    publishing: Publishing,
    captures: dict[int, TableCapture],
    known: Collection[PartitionState],
) -> _Merged:
    """Return the states with their counts, in one small job. Key ranges without a change are left out.

    BadDataError when the mirror's files do not hold as many rows as the manifest says.
    """
    range_name = contract.partition.name
    is_last, is_version = F.col("_is_last"), F.col("_is_version")
    days = _days(contract, fact)
    counted = (
        states.groupBy(key_range(contract), "_seen_seq")
        .agg(
            F.count_if(F.col("_seen_seq") == 0).alias("known"),
            F.count_if((F.col("_seen_seq") > 0) & ~F.col("is_deleted")).alias("captured"),
            F.count_if(is_last).alias("rows"),
            F.count_if(is_last & (F.col("batch_seq") > publishing.published_seq)).alias("new_rows"),
            F.max(F.when(is_last, F.col("batch_seq"))).alias("max_batch_seq"),
            F.count_if(is_last & F.col("is_deleted")).alias("deleted"),
            F.count_if("_is_changed").alias("changed"),
            F.count_if("_is_miss").alias("misses"),
            F.count_if("_is_version").alias("versions"),
            F.min(F.when(is_version, F.least(*days.values()))).alias("first_day"),
            F.max(F.when(is_version, F.greatest(*days.values()))).alias("last_day"),
            *[F.count_if(is_version & day.isNull()).alias(f"no_date_{name}") for name, day in days.items() if fact],
        )
        .collect()
    )
    check_rows(layout.mirror_table(contract.table), known, sum(row["known"] for row in counted))
    for seq, capture in captures.items():
        check_capture(contract.table, seq, capture, sum(row["captured"] for row in counted if row["_seen_seq"] == seq))
    for name in days if fact else ():
        if no_dates := sum(row[f"no_date_{name}"] for row in counted):
            raise BadDataError(
                f"{contract.table}.{name} holds {no_dates} texts that are not a date (YYYY-MM-DD) in batches {publishing.batches[0].seq}"
                f" to {publishing.through_seq}. Nothing was published: these batches stay pending until the rows are corrected"
            )
    changed = {row[range_name] for row in counted if row["changed"]}
    ranges = {}
    for value in changed:
        of_range = [row for row in counted if row[range_name] == value]
        ranges[str(value)] = RangeCount(
            sum(row["rows"] for row in of_range),
            sum(row["new_rows"] for row in of_range),
            max(row["max_batch_seq"] or 0 for row in of_range),
            sum(row["deleted"] for row in of_range),
        )
    versions: dict[int, int] = {}
    for row in counted:
        if row["versions"]:
            versions[row["_seen_seq"]] = versions.get(row["_seen_seq"], 0) + row["versions"]
    first_days, last_days = ([row[name] for row in counted if row[name]] for name in ("first_day", "last_day"))
    dates = (min(first_days), max(last_days)) if first_days else None
    return _Merged(states, ranges, versions, dates, sum(row["misses"] for row in counted))


def _days(contract: Contract, fact: Contract | None) -> dict[str, SparkColumn]:
    """Return the source columns of the fact's dates, as dates: null for other texts, and for a table without a fact."""
    origins = {column.origin for column in fact.columns if column.references == "dim_date"} if fact else set()
    dated = [column for column in contract.columns if f"{contract.table}.{column.name}" in origins]
    days = {
        column.name: F.to_date(F.try_to_timestamp(column.name, F.lit("yyyy-MM-dd")) if column.format == "date" else column.name)
        for column in dated
    }
    return days or {name: F.lit(None).cast("date") for name in ("first", "last")}


def _write(
    lake: SparkLake, publishing: Publishing, contracts: Contracts, contract: Contract, fact: Contract | None, merged: _Merged
) -> SourceChange:
    changed_ranges = [int(value) for value in merged.ranges]
    is_touched = F.col("_is_last") & key_range(contract).isin(changed_ranges)
    columns = [column.name for column in (*contract.columns, *MIRROR_LINEAGE)]
    touched = merged.states.filter(is_touched).select(*columns, key_range(contract))
    mirror = divided(touched, contract.partition, sum(count.rows for count in merged.ranges.values()))
    prefix = layout.mirror_prefix(contract.table, publishing.publish_id)
    lake.write(mirror, prefix, contract.partition)
    mirror_change = table_change(merged.ranges, prefix, contract, publishing.seq)

    star: dict[str, TableChange] = {}
    for dimension in contracts.dimensions.values():
        if dimension.inputs == (contract.table,):
            prefix = layout.star_prefix(dimension.table, publishing.publish_id)
            lake.write(rows_of(dimension.table, mirror).select("*", key_range(dimension)), prefix, dimension.partition)
            star[dimension.table] = table_change(merged.ranges, prefix, dimension, publishing.seq)
    if fact is None or not merged.versions:
        return SourceChange(mirror_change, star, misses=merged.misses)
    rows = rows_of(fact.table, merged.states.filter("_is_version"))
    star[fact.table] = _append(lake, publishing, fact, rows, merged.versions)
    return SourceChange(mirror_change, star, merged.dates, merged.misses)


def _append(lake: SparkLake, publishing: Publishing, fact: Contract, rows: DataFrame, versions: dict[int, int]) -> TableChange:
    """Write new fact rows into the partitions of their batches' days, together with the rows that each partition had before."""
    known = publishing.previous.star.get(fact.table, {})
    day_of = publishing.day_of
    day = F.element_at(F.create_map(*[F.lit(part) for seq in versions for part in (seq, day_of[seq])]), F.col("batch_seq").cast("int"))
    dated = rows.withColumn(fact.partition.name, day)
    counts: dict[str, RangeCount] = {}
    read_again: list[tuple[PartitionState, Observation]] = []
    for value in sorted({day_of[seq] for seq in versions}):
        seqs = [seq for seq in versions if day_of[seq] == value]
        new_rows = sum(versions[seq] for seq in seqs)
        before: PartitionState | None = known.get(value)
        counts[value] = RangeCount(new_rows + (before.rows if before else 0), new_rows, max(seqs))
        if before:
            read_again.append((before, Observation()))
            earlier = lake.read(fact, fact.file_columns, [before]).observe(read_again[-1][1], F.count("*").alias("rows"))
            dated = dated.unionByName(earlier.withColumn(fact.partition.name, F.lit(value)))
    files = math.ceil(sum(count.rows for count in counts.values()) / ROWS_PER_FILE)
    prefix = layout.star_prefix(fact.table, publishing.publish_id)
    lake.write(dated.coalesce(files), prefix, fact.partition)
    for state, observation in read_again:
        check_rows(layout.star_table(fact.table), [state], observation.get["rows"])
    return table_change(counts, prefix, fact, publishing.seq)
