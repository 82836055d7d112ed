"""Merge batches into the mirror of one source table. Pure DataFrame work; this module knows no bucket."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from totesys.contracts import Contract

_STATE = ("is_deleted", "batch_seq", "_seen_seq", "_is_changed", "_is_version", "is_reinserted", "_is_last", "_is_miss")


def merge(
    mirror: DataFrame,
    captured: DataFrame,
    full_seqs: Sequence[int],
    contract: Contract,
    version_columns: Sequence[str],
    kept_out: DataFrame | None = None,
    is_one_task: bool = False,
) -> DataFrame:
    """Return every state of the keys in `captured` (after a full read, also of the keys in `mirror`), in the order of batches.

    mirror           one row per key: the contract's columns, is_deleted, batch_seq
    captured         rows as batches read them: the contract's columns, batch_seq, _is_offered; one row per key and batch.
                     _is_offered: a delta would have read the row too
    full_seqs        batches that read the whole table: a known key that is missing in such a batch was deleted by then
    version_columns  columns in which a difference makes a new fact version; empty for tables that feed no fact
    kept_out         rows that a full read kept out as dead letters (key, batch_seq): their keys are not deleted, and keep the state that
                     they had; None if there are none
    is_one_task      there are few rows: one task compares them, without a shuffle

    Returns one row per key and state, with the contract's columns and these, whose names no contract's column has:
      is_deleted, batch_seq  the state, and the batch that brought it; an equal state keeps the batch of the first one
      _seen_seq              the batch that saw the state; 0 for the state that was known before
      _is_changed            the state differs from the one before, in any column
      _is_version            the state is a new fact version: alive, and new, reinserted, or different in the version columns
      is_reinserted          the state is a new fact version with the same version columns as before: the key was deleted meanwhile
      _is_last               the state is the key's newest; these rows are the new mirror
      _is_miss               the state is alive and changed although no delta would have read it: only a full read found it
    """
    values = F.struct(*[column.name for column in contract.columns]).alias("_values")
    known_seq, seen_seq = F.lit(0).cast("bigint").alias("_seen_seq"), F.col("batch_seq").alias("_seen_seq")
    known = mirror.select(contract.key, values, "is_deleted", "batch_seq", known_seq, F.lit(True).alias("_is_offered"))
    read = captured.select(contract.key, values, F.lit(False).alias("is_deleted"), "batch_seq", seen_seq, "_is_offered")
    states = known.unionByName(read)
    if kept_out is not None:
        states = states.join(
            kept_out.groupBy(F.col("key").alias(contract.key)).agg(F.collect_set("batch_seq").alias("_found_seqs")), contract.key, "left"
        )
    if is_one_task:
        states = states.coalesce(1)

    by_batch = Window.partitionBy(contract.key).orderBy("batch_seq")
    next_seq = F.lead("batch_seq").over(by_batch)
    is_new, is_gone = F.col("_seen_seq") > 0, F.col("is_deleted")
    if full_seqs:
        states = states.withColumn("_gone_seq", _gone_seq(full_seqs, next_seq, kept_out is not None))
        is_gone |= F.col("_gone_seq").isNotNull()
    compared = states.withColumns(
        {"_before": F.lag(F.struct("_values", is_gone.alias("is_deleted"))).over(by_batch), "_is_last": next_seq.isNull()}
    ).withColumns(
        {
            "_is_changed": is_new & ~F.col("_before").eqNullSafe(F.struct("_values", "is_deleted")),
            "_is_version": is_new & _is_version(version_columns),
            "is_reinserted": is_new & _is_reinserted(version_columns),
        }
    )
    so_far = by_batch.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    brought_seq = F.last(F.when(~is_new | F.col("_is_changed"), F.col("batch_seq")), ignorenulls=True).over(so_far)
    is_miss = F.col("_is_changed") & ~F.col("is_deleted") & ~F.col("_is_offered")
    made = {name: F.col(name) for name in _STATE} | {"batch_seq": brought_seq, "_is_miss": is_miss}
    state = [value.alias(name) for name, value in made.items()]
    if full_seqs:
        return _with_deletions(compared.select("_values", *state, "_gone_seq")).select("_values.*", "_state.*")
    return compared.select("_values.*", *state)


def first_states(captured: DataFrame, contract: Contract, version_columns: Sequence[str]) -> DataFrame:
    """Return what `merge` returns for the rows of one batch when the mirror is empty: each row is new, so nothing is compared."""
    return captured.select(
        *[column.name for column in contract.columns],
        F.lit(False).alias("is_deleted"),
        "batch_seq",
        F.col("batch_seq").alias("_seen_seq"),
        F.lit(True).alias("_is_changed"),
        F.lit(bool(version_columns)).alias("_is_version"),
        F.lit(False).alias("is_reinserted"),
        F.lit(True).alias("_is_last"),
        (~F.col("_is_offered")).alias("_is_miss"),
    )


def _gone_seq(full_seqs: Sequence[int], next_seq: Column, has_found: bool) -> Column:
    """Return the first full read after a state and before the key's next state in which the key is missing; null if there is none.

    `has_found`: the column _found_seqs exists. It names the batches that found the key but kept its row out."""

    def lacks(seq: int) -> Column:
        is_later = F.col("batch_seq") < seq
        return is_later & ~F.coalesce(F.array_contains("_found_seqs", F.lit(seq)), F.lit(False)) if has_found else is_later

    first = F.coalesce(*[F.when(lacks(seq), F.lit(seq).cast("bigint")) for seq in sorted(full_seqs)])
    return F.when(next_seq.isNull() | (first < next_seq), first)


def _with_deletions(states: DataFrame) -> DataFrame:
    """Return the states (_values, _state), and after each state with a _gone_seq a deletion with the same values.

    The deletion is no change if the key was deleted already.
    """
    is_kept = F.col("_gone_seq").isNull()
    own = {name: F.col(name) for name in _STATE} | {"_is_last": F.col("_is_last") & is_kept}
    deletion = own | {
        "is_deleted": F.lit(True),
        "batch_seq": F.when(F.col("is_deleted"), F.col("batch_seq")).otherwise(F.col("_gone_seq")),
        "_seen_seq": F.col("_gone_seq"),
        "_is_changed": ~F.col("is_deleted"),
        "_is_last": F.col("_is_last"),
        **dict.fromkeys(("_is_version", "is_reinserted", "_is_miss"), F.lit(False)),
    }
    kept, gone = (F.struct(*[value.alias(name) for name, value in state.items()]) for state in (own, deletion))
    return states.select("_values", F.explode(F.when(is_kept, F.array(kept)).otherwise(F.array(kept, gone))).alias("_state"))


def _is_version(version_columns: Sequence[str]) -> Column:
    if not version_columns:
        return F.lit(False)
    was_alive = F.coalesce(~F.col("_before.is_deleted"), F.lit(False))
    return ~F.col("is_deleted") & ~(was_alive & _says_the_same(version_columns))


def _is_reinserted(version_columns: Sequence[str]) -> Column:
    if not version_columns:
        return F.lit(False)
    was_deleted = F.coalesce(F.col("_before.is_deleted"), F.lit(False))
    return ~F.col("is_deleted") & was_deleted & _says_the_same(version_columns)


def _says_the_same(version_columns: Sequence[str]) -> Column:
    now, before = (F.struct(*[F.col(f"{state}.{name}") for name in version_columns]) for state in ("_values", "_before._values"))
    return now.eqNullSafe(before)
