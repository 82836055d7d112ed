"""Merging batches into the current state of one source table: pure DataFrame work, no bucket in sight."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from totesys.contracts import Contract


def merge(
    current: DataFrame,
    captured: DataFrame,
    full_seqs: Sequence[int],
    contract: Contract,
    version_columns: Sequence[str],
    kept_out: DataFrame | None = None,
    is_one_task: bool = False,
) -> DataFrame:
    """Every state that the keys of `captured` went through, and after a full read those of `current`, in the order of batches.

    current          one row per key: the contract's columns, is_deleted, batch_seq
    captured         rows as batches read them: the contract's columns, batch_seq, is_offered; one row per key and batch.
                     is_offered says that a delta would have read the row as well
    full_seqs        batches that read the whole table: a known key that such a batch lacks is deleted as of it
    version_columns  columns in which a difference makes a new fact version; empty for tables that feed no fact
    kept_out         rows that a full read found and kept out as dead letters (key, batch_seq): their keys are not lacking, and they keep
                     the state that they had; None when there are none
    is_one_task      the rows are few: one task compares them, without a shuffle

    One row per key and state seen, with the contract's columns and
      is_deleted, batch_seq  the state, and the batch that brought it: an equal state keeps the batch of the first
      seen_seq               the batch that saw it; 0 for the state that was known before
      is_changed             differs from the state before, in any column
      is_version             is a new fact version: alive, and new, put back, or different in the version columns
      is_put_back            is a new fact version with the same version columns as before: the key was deleted meanwhile
      is_last                is the key's newest state: these rows are the new current state
      is_miss                is alive and changed, though no delta would have offered it: only a full read noticed
    """
    names = [column.name for column in contract.columns]
    known = current.select(*names, "is_deleted", "batch_seq", F.lit(0).cast("bigint").alias("seen_seq"), F.lit(True).alias("is_offered"))
    read = captured.select(*names, F.lit(False).alias("is_deleted"), "batch_seq", F.col("batch_seq").alias("seen_seq"), "is_offered")
    states = known.unionByName(read)
    if full_seqs:
        found = read.select(contract.key, "batch_seq")
        if kept_out is not None:
            found = found.unionByName(kept_out.withColumnRenamed("key", contract.key))
        states = states.unionByName(_absent(states, found, full_seqs, contract.key), allowMissingColumns=True)
    if is_one_task:
        states = states.coalesce(1)

    by_batch = Window.partitionBy(contract.key).orderBy("batch_seq")
    so_far = by_batch.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    is_new = F.col("seen_seq") > 0
    values = F.struct(*[F.col(name) for name in names])
    # A deleted row keeps its last values.
    last_values = F.last(F.when(~F.col("is_deleted") | ~is_new, values), ignorenulls=True).over(so_far)
    compared = (
        states.select(contract.key, "is_deleted", "batch_seq", "seen_seq", "is_offered", last_values.alias("values"))
        .withColumns(
            {"before": F.lag(F.struct("values", "is_deleted")).over(by_batch), "is_last": F.lead("batch_seq").over(by_batch).isNull()}
        )
        .withColumns(
            {
                "is_changed": is_new & ~F.col("before").eqNullSafe(F.struct("values", "is_deleted")),
                "is_version": is_new & _is_version(version_columns),
                "is_put_back": is_new & _is_put_back(version_columns),
            }
        )
    )
    brought_seq = F.last(F.when(~is_new | F.col("is_changed"), F.col("batch_seq")), ignorenulls=True).over(so_far)
    is_miss = F.col("is_changed") & ~F.col("is_deleted") & ~F.col("is_offered")
    return compared.select(
        "values.*",
        "is_deleted",
        brought_seq.alias("batch_seq"),
        "seen_seq",
        "is_changed",
        "is_version",
        "is_put_back",
        "is_last",
        is_miss.alias("is_miss"),
    )


def first_states(captured: DataFrame, contract: Contract, version_columns: Sequence[str]) -> DataFrame:
    """What `merge` makes of the rows of one batch when nothing is known: each row is new, and there is nothing to compare."""
    return captured.select(
        *[column.name for column in contract.columns],
        F.lit(False).alias("is_deleted"),
        "batch_seq",
        F.col("batch_seq").alias("seen_seq"),
        F.lit(True).alias("is_changed"),
        F.lit(bool(version_columns)).alias("is_version"),
        F.lit(False).alias("is_put_back"),
        F.lit(True).alias("is_last"),
        (~F.col("is_offered")).alias("is_miss"),
    )


def _absent(states: DataFrame, found: DataFrame, full_seqs: Sequence[int], key: str) -> DataFrame:
    """A deletion as of each full read for every key that was seen before it and that it lacks; the other columns are null.

    A key that is deleted already gets one as well: the comparison with the state before drops it."""
    seqs = F.explode(F.array(*[F.lit(seq).cast("bigint") for seq in full_seqs]))
    expected = states.groupBy(key).agg(F.min("batch_seq").alias("first_seq")).withColumn("batch_seq", seqs).filter("batch_seq > first_seq")
    lacking = expected.join(found, [key, "batch_seq"], how="left_anti")
    return lacking.select(
        key, F.lit(True).alias("is_deleted"), "batch_seq", F.col("batch_seq").alias("seen_seq"), F.lit(True).alias("is_offered")
    )


def _is_version(version_columns: Sequence[str]) -> Column:
    if not version_columns:
        return F.lit(False)
    was_alive = F.coalesce(~F.col("before.is_deleted"), F.lit(False))
    return ~F.col("is_deleted") & ~(was_alive & _says_the_same(version_columns))


def _is_put_back(version_columns: Sequence[str]) -> Column:
    if not version_columns:
        return F.lit(False)
    was_deleted = F.coalesce(F.col("before.is_deleted"), F.lit(False))
    return ~F.col("is_deleted") & was_deleted & _says_the_same(version_columns)


def _says_the_same(version_columns: Sequence[str]) -> Column:
    now, before = (F.struct(*[F.col(f"{state}.{name}") for name in version_columns]) for state in ("values", "before.values"))
    return now.eqNullSafe(before)
