"""The merge: states in the order of batches, touches that add nothing, deletions, and what counts as a fact version."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from totesys.contracts import Column, Contract
from totesys.transform.merge import first_states, merge

ITEM = Contract(
    table="item", kind="source", version=1, description="d", grain="g", key="item_id", range_size=10,
    columns=(Column("item_id", "int", False, "d"), Column("kept", "string", True, "d"), Column("dropped", "string", True, "d")),
)  # fmt: skip

KNOWN = {"item_id": "int", "kept": "string", "dropped": "string", "is_deleted": "boolean", "batch_seq": "bigint"}
CAPTURED = {"item_id": "int", "kept": "string", "dropped": "string", "batch_seq": "bigint", "_is_offered": "boolean"}

Row = tuple[int, str | None, str | None]
Mirror = tuple[int, str | None, str | None, bool, int]
Merge = Callable[..., list[tuple]]


def frame(spark: SparkSession, rows: Sequence[tuple[Any, ...]], columns: dict[str, str]) -> DataFrame:
    """The rows as a frame with columns of these types; without the processes that createDataFrame starts."""
    made = [F.struct(*[F.lit(value).alias(name) for name, value in zip(columns, row, strict=True)]) for row in rows]
    schema = ", ".join(f"{name}: {kind}" for name, kind in columns.items())
    return spark.range(1).select(F.inline(F.array(*made).cast(f"array<struct<{schema}>>")))


@pytest.fixture
def merged(spark: SparkSession) -> Merge:
    """Merges literal rows; returns (key, kept, dropped, is_deleted, batch_seq, is_version, is_last) of the states seen by batches."""

    def run(mirror: list[Mirror], batches: dict[int, list[Row]], full: tuple[int, ...] = (), is_one_task: bool = False) -> list[tuple]:
        known = frame(spark, mirror, KNOWN)
        captured = frame(spark, [(*row, seq, True) for seq, rows in batches.items() for row in rows], CAPTURED)
        states = merge(known, captured, full, ITEM, ["item_id", "kept"], is_one_task=is_one_task)
        wanted = ("item_id", "kept", "dropped", "is_deleted", "batch_seq", "_is_version", "_is_last")
        return [tuple(row[name] for name in wanted) for row in states.filter("_seen_seq > 0").orderBy("item_id", "_seen_seq").collect()]

    return run


def test_a_new_key_is_a_version(merged: Merge) -> None:
    assert merged([], {1: [(1, "a", "x")]}) == [(1, "a", "x", False, 1, True, True)]


def test_a_touch_is_no_version_and_keeps_the_batch_that_brought_the_state(merged: Merge) -> None:
    assert merged([(1, "a", "x", False, 1)], {2: [(1, "a", "x")]}) == [(1, "a", "x", False, 1, False, True)]


def test_a_change_of_a_dropped_column_alone_changes_the_mirror_and_is_no_version(merged: Merge) -> None:
    assert merged([(1, "a", "x", False, 1)], {2: [(1, "a", "y")]}) == [(1, "a", "y", False, 2, False, True)]


def test_there_and_back_again_in_waiting_batches_is_two_more_versions(merged: Merge) -> None:
    assert merged([(1, "a", None, False, 1)], {2: [(1, "b", None)], 3: [(1, "a", None)]}) == [
        (1, "b", None, False, 2, True, False),
        (1, "a", None, False, 3, True, True),
    ]


def test_a_null_is_a_value_of_its_own(merged: Merge) -> None:
    assert [row[5] for row in merged([(1, "", None, False, 1)], {2: [(1, None, None)], 3: [(1, None, None)]})] == [True, False]


def test_a_key_that_a_full_read_lacks_is_deleted_and_keeps_its_last_values(merged: Merge) -> None:
    assert merged([(1, "a", "x", False, 1), (2, "b", "y", False, 1)], {2: [(2, "b", "y")]}, full=(2,)) == [
        (1, "a", "x", True, 2, False, True),
        (2, "b", "y", False, 1, False, True),
    ]


def test_a_full_read_of_an_emptied_table_deletes_every_key(merged: Merge) -> None:
    assert merged([(1, "a", "x", False, 1)], {}, full=(2,)) == [(1, "a", "x", True, 2, False, True)]


def test_a_deleted_key_stays_deleted_by_the_batch_that_saw_it_first(merged: Merge) -> None:
    assert merged([(1, "a", "x", True, 2)], {}, full=(3,)) == [(1, "a", "x", True, 2, False, True)]


def test_a_key_inserted_again_is_a_version_even_with_the_same_values(merged: Merge) -> None:
    assert merged([(1, "a", "x", True, 2)], {3: [(1, "a", "x")]}) == [(1, "a", "x", False, 3, True, True)]


def test_a_version_that_repeats_the_one_before_a_deletion_says_so(spark: SparkSession) -> None:
    mirror = [(1, "a", "x", True, 2), (2, "a", "x", True, 2), (3, "a", "x", False, 2)]
    known = frame(spark, mirror, KNOWN)
    rows = [(1, "a", "y", 3, True), (2, "b", "x", 3, True), (3, "a", "y", 3, True), (4, "a", "x", 3, True)]
    captured = frame(spark, rows, CAPTURED)
    reinserted = merge(known, captured, (), ITEM, ["item_id", "kept"]).filter("is_reinserted")
    assert [(row.item_id, row._is_version) for row in reinserted.collect()] == [(1, True)]


def test_deleted_and_inserted_again_across_waiting_batches(merged: Merge) -> None:
    assert merged([(1, "a", "x", False, 1), (2, "b", "x", False, 1)], {2: [(2, "b", "x")], 3: [(1, "a", "x")]}, full=(2,)) == [
        (1, "a", "x", True, 2, False, False),
        (1, "a", "x", False, 3, True, True),
        (2, "b", "x", False, 1, False, True),
    ]


def test_a_key_that_two_full_reads_lack_is_deleted_as_of_the_first(merged: Merge) -> None:
    last = [row for row in merged([(1, "a", "x", False, 1)], {}, full=(4, 2)) if row[6]]
    assert last == [(1, "a", "x", True, 2, False, True)]


def test_a_key_that_full_reads_found_and_kept_out_is_deleted_as_of_the_first_that_lacks_it(spark: SparkSession) -> None:
    known = frame(spark, [(1, "a", "x", False, 1), (2, "b", "y", True, 1)], KNOWN)
    found = {"key": "bigint", "batch_seq": "bigint"}
    kept_out = frame(spark, [(1, 2), (1, 3), (2, 2), (3, 2)], found)
    states = merge(known, frame(spark, [], CAPTURED), (2, 3, 4), ITEM, ["item_id", "kept"], kept_out)
    last = states.filter("_is_last").orderBy("item_id").collect()
    assert [(row.item_id, row.is_deleted, row.batch_seq, row._is_changed) for row in last] == [(1, True, 4, True), (2, True, 1, False)]


@pytest.mark.parametrize("version_columns", [["item_id", "kept"], []])
def test_what_is_first_of_all_is_the_same_without_a_comparison(spark: SparkSession, version_columns: list[str]) -> None:
    captured = frame(spark, [(1, "a", "x", 3, True), (2, None, None, 3, False)], CAPTURED)

    first = first_states(captured, ITEM, version_columns)

    merged = merge(frame(spark, [], KNOWN), captured, (), ITEM, version_columns)
    assert first.dtypes == merged.dtypes
    assert first.orderBy("item_id").collect() == merged.orderBy("item_id").collect()
    assert [row._is_miss for row in first.orderBy("item_id").collect()] == [False, True]


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.dictionaries(st.integers(1, 30), st.sampled_from(["a", "b", None]), max_size=30), min_size=3, max_size=6), st.data())
def test_merging_batches_at_once_equals_the_oracle(merged: Merge, histories: list[dict[int, str | None]], data: st.DataObject) -> None:
    """Each entry is the source's whole table at one batch: thirty histories of one key each. Where rows are gone, the batch is a full."""
    batches: dict[int, list[Row]] = {}
    full, expected = [], []
    before: dict[int, str | None] = {}
    dead: dict[int, str | None] = {}
    for seq, table in enumerate(histories, start=1):
        is_full = bool(before.keys() - table.keys()) or data.draw(st.booleans())
        shown = {key for key, value in table.items() if is_full or key not in before or before[key] != value or data.draw(st.booleans())}
        batches[seq] = [(key, table[key], None) for key in shown]
        if is_full:
            full.append(seq)
        expected += [(key, seq) for key in table if key not in before or before[key] != table[key]]
        dead.update({key: value for key, value in before.items() if key not in table})
        before = table
    rows = merged([], batches, tuple(full), is_one_task=data.draw(st.booleans()))
    assert sorted((row[0], row[4]) for row in rows if row[5]) == sorted(expected)
    last = {row[0]: (row[1], row[3]) for row in rows if row[6]}
    assert last == {
        **{key: (value, True) for key, value in dead.items() if key not in before},
        **{k: (v, False) for k, v in before.items()},
    }
