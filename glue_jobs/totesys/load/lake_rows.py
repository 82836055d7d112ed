"""Read the rows of a load from the lake with Spark. Addresses come from the manifest, types from the contracts; nothing is discovered.

Each frame has an observation that counts rows while the frame is written. A separate aggregate would cost more than the writing itself
when there are few rows.
"""

from __future__ import annotations

from functools import reduce

from pyspark.sql import Column, DataFrame, Observation, SparkSession
from pyspark.sql import functions as F

from totesys import contracts
from totesys.contracts import MIRROR_LINEAGE, Contract
from totesys.errors import BadDataError
from totesys.lake import layout
from totesys.lake.files import read_files
from totesys.load.plan import LakeRows, LoadPlan


def star_rows(spark: SparkSession, bucket: str, plan: LoadPlan, contract: Contract) -> tuple[DataFrame, Observation]:
    """Return the rows of a warehouse table that the plan wants, with all file columns. Counts `total` rows read and `wanted` rows."""
    rows = plan.stars[contract.table]
    counts = Observation()
    read = _read(spark, bucket, rows, contract, contract.file_columns)
    wanted = _is_within(rows)
    return read.observe(counts, F.count("*").alias("total"), F.count_if(wanted).alias("wanted")).where(wanted), counts


def mirror_keys(spark: SparkSession, bucket: str, plan: LoadPlan, source: dict[str, Contract]) -> tuple[DataFrame, Observation]:
    """Return the keys of mirrors that the plan wants: source_table, key, batch_seq, is_deleted.

    Counts `total` rows read, `wanted` rows, and all `deleted` rows.
    """

    def of_table(table: str, rows: LakeRows) -> DataFrame:
        contract = source[table]
        key = contract.column(contract.key)
        wanted = _is_within(rows) & (F.col("is_deleted") | F.lit(plan.is_revivable(table)))
        return _read(spark, bucket, rows, contract, (key, *MIRROR_LINEAGE)).select(
            F.lit(table).alias("source_table"),
            F.col(key.name).cast("bigint").alias("key"),
            "batch_seq",
            "is_deleted",
            wanted.alias("wanted"),
        )

    read = reduce(DataFrame.unionByName, [of_table(table, rows) for table, rows in plan.mirrors.items() if rows.partitions])
    counts = Observation()
    counted = read.observe(
        counts, F.count("*").alias("total"), F.count_if("wanted").alias("wanted"), F.count_if("is_deleted").alias("deleted")
    )
    return counted.where("wanted").drop("wanted"), counts


def check_star_counts(plan: LoadPlan, table: str, total: int, wanted: int) -> None:
    """Raise BadDataError unless the files hold as many rows as the manifest says."""
    rows, publish = plan.stars[table], plan.publish
    if total != rows.in_files:
        prefixes = ", ".join(state.prefix for state in rows.partitions)
        raise BadDataError(
            f"the lake's files of {table} hold {total} rows, but the manifest of publish {publish.seq} says {rows.in_files}:"
            f" restore the objects below {prefixes}, and remove those that no publish wrote"
        )
    promised = plan.promised_rows(table)
    if promised is not None and wanted != promised:
        raise BadDataError(
            f"the lake holds {wanted} new rows of {table}, but the manifest of publish {publish.seq} says {promised}:"
            " the transform run that wrote the manifest miscounted; look at its log"
        )


def check_mirror_counts(plan: LoadPlan, total: int, deleted: int) -> None:
    """Raise BadDataError unless the mirrors' files hold as many rows and tombstones as the manifest says."""
    rows = [rows for rows in plan.mirrors.values() if rows.partitions]
    promised = sum(each.in_files for each in rows), sum(state.deleted for each in rows for state in each.partitions)
    if (total, deleted) != promised:
        prefixes = ", ".join(state.prefix for each in rows for state in each.partitions)
        raise BadDataError(
            f"the lake's mirrors hold {total} rows with {deleted} tombstones, but the manifest of publish {plan.publish.seq} says"
            f" {promised[0]} with {promised[1]}: restore the objects below {prefixes}, and remove those that no publish wrote"
        )


def _read(spark: SparkSession, bucket: str, rows: LakeRows, contract: Contract, columns: tuple[contracts.Column, ...]) -> DataFrame:
    written_under = {layout.uri(bucket, state.prefix): state.contract_version for state in rows.partitions}
    return read_files(spark, contract, columns, written_under, layout.DATA_FILES)


def _is_within(rows: LakeRows) -> Column:
    return (F.col("batch_seq") > rows.after) & (F.col("batch_seq") <= rows.through)
