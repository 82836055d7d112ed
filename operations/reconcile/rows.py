"""Compare the current rows of one warehouse table with the source: digests first, and rows where digests differ. Memory is bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile
from operator import eq
from typing import Any, NamedTuple

import psycopg2
from psycopg2.sql import SQL, Composed
from totesys.contracts import Contracts

from operations.reconcile import sql
from operations.reconcile.cursors import scalar, stream
from operations.reconcile.kept_out import KeptOut
from operations.reconcile.live import WarehouseTable
from operations.reconcile.result import TableComparison
from operations.values import LONGEST, shorten

Texts = list[str | None]
Add = Callable[..., None]  # counts a difference


class Digest(NamedTuple):
    """A bucket of keys: its rows, the sum of their hashes, and how many more rows are deleted at the source."""

    rows: int = 0
    hash_sum: int | None = None
    deleted: int = 0

    @property
    def live(self) -> tuple[int, int | None]:
        return self.rows, self.hash_sum


class Row(NamedTuple):
    """A row, in the same form from both databases."""

    key: int
    texts: Texts
    is_deleted: bool


def compare_rows(
    comparison: TableComparison, table: WarehouseTable, contracts: Contracts, source: Any, warehouse: Any, kept_out: KeptOut
) -> None:
    """Add the rows that differ, and count the rows of each side, over two psycopg2 connections in transactions of one snapshot each.

    A row that is known as deleted at the source is history, and no difference. A row that is kept out is named by the reason.
    """
    lacks = _naming_causes(comparison, table, contracts, source, warehouse, kept_out)
    held = _held_inputs(table, kept_out)
    if not held:
        _compare(comparison, lacks, table, contracts, source, warehouse)
        return
    _execute(source, "SAVEPOINT held")
    try:
        _compare(comparison, lacks, table, contracts, source, warehouse)
    except psycopg2.Error as error:  # a held table may be unreadable, or have another structure
        if error.cursor is None or error.cursor.connection is not source or source.closed:
            raise
        _execute(source, "ROLLBACK TO SAVEPOINT held")
        comparison.add("held", detail=f"not compared; {_held_since(held, kept_out)}")
        if table.exists:
            comparison.warehouse_rows = scalar(warehouse, sql.count_rows(table.name))


def _compare(comparison: TableComparison, lacks: Add, table: WarehouseTable, contracts: Contracts, source: Any, warehouse: Any) -> None:
    contract = table.contract
    wanted = sql.source_rows(table, contracts)
    if not {contract.key, contract.lake_key} <= table.values.keys():
        comparison.source_rows = scalar(source, sql.count_rows(SQL("({})").format(wanted)))
        if table.exists:
            comparison.warehouse_rows = scalar(warehouse, sql.count_rows(table.name))
            comparison.add("not compared", detail="its rows cannot be told apart without their key")
        return
    _compare_current(comparison, lacks, table, source, wanted, warehouse, sql.warehouse_rows(table))
    for (key,) in stream(warehouse, sql.lost_rows(table)):
        lacks("missing", key=key, detail="deleted at the source, but the warehouse keeps such rows")
    if contract.version_of:
        for key, record_id in stream(warehouse, sql.duplicate_versions(table)):
            comparison.add("duplicate version", key=key, detail=f"record {record_id} repeats the version before it")


def _naming_causes(
    comparison: TableComparison, table: WarehouseTable, contracts: Contracts, source: Any, warehouse: Any, kept_out: KeptOut
) -> Add:
    """Add a row that differs, by its cause if there is one: its table is held, it is a dead letter, or a version of it waits."""
    contract = table.contract
    held = _held_inputs(table, kept_out)
    letters = {name: kept_out.letters[name] for name in contract.inputs if name in kept_out.letters}
    can_wait = bool(contract.version_of and table.exists and scalar(warehouse, sql.count_rows(sql.waiting_rows(contract))))

    def add(kind: str, *, key: int, detail: str = "") -> None:
        if held:
            comparison.add("held", key=key, detail=f"{kind}; {_held_since(held, kept_out)}")
            return
        for name, reasons in letters.items():
            own = key if name == sql.key_origin(contract) else scalar(source, sql.joined_key(contract, contracts, name, key))
            if own in reasons:
                comparison.add("dead letter", key=key, detail=f"{name} {own}: {reasons[own]}")
                return
        parents = scalar(warehouse, sql.parents_of_waiting(contract, key)) if can_wait and kind in ("missing", "stale") else None
        if parents:
            comparison.add("waiting", key=key, detail=f"for {parents}, which the warehouse lacks rows of")
        else:
            comparison.add(kind, key=key, detail=detail)

    return add


def _held_inputs(table: WarehouseTable, kept_out: KeptOut) -> list[str]:
    return [name for name in table.contract.inputs if name in kept_out.held]


def _held_since(tables: list[str], kept_out: KeptOut) -> str:
    return ", ".join(f"{table} is held since {kept_out.held[table].since}" for table in tables)


def _execute(connection: Any, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def _compare_current(
    comparison: TableComparison, lacks: Add, table: WarehouseTable, source: Any, wanted: Composed, warehouse: Any, held: Composed
) -> None:
    with ThreadPoolExecutor(1, thread_name_prefix="source") as pool:  # two servers can work at the same time
        asked = pool.submit(_digests, source, wanted)
        in_warehouse, at_source = _digests(warehouse, held), asked.result()
    comparison.source_rows = sum(digest.rows for digest in at_source.values())
    comparison.warehouse_rows = sum(digest.rows + digest.deleted for digest in in_warehouse.values())
    comparison.gone = sum(digest.deleted for digest in in_warehouse.values())
    buckets = sorted(
        bucket for bucket in {*at_source, *in_warehouse} if at_source.get(bucket, Digest()).live != in_warehouse.get(bucket, Digest()).live
    )
    if not buckets:
        return
    names = [column.name for column in sql.compared_columns(table)]
    for source_row, row in _paired(_rows(source, wanted, buckets), _rows(warehouse, held, buckets)):
        if row is None:
            assert source_row is not None
            lacks("missing", key=source_row.key)
        elif source_row is None:
            if not row.is_deleted:
                lacks("extra", key=row.key, detail="the source has no such key, and the lake does not know it as deleted")
        elif row.is_deleted:
            comparison.gone -= 1
            lacks("tombstoned", key=row.key, detail="tombstoned though the source has it")
        elif source_row.texts != row.texts:
            lacks("stale", key=row.key, detail=_changes(names, source_row.texts, row.texts))


def _digests(connection: Any, rows: Composed) -> dict[int, Digest]:
    return {bucket: Digest(*digest) for bucket, *digest in stream(connection, sql.digests(rows))}


def _rows(connection: Any, rows: Composed, buckets: list[int]) -> Iterator[Row]:
    return (Row(*row) for row in stream(connection, sql.rows_of_buckets(rows), (buckets,)))


def _paired(source: Iterator[Row], warehouse: Iterator[Row]) -> Iterator[tuple[Row | None, Row | None]]:
    """Yield the rows of both sides in the order of keys, paired by key. A missing row is None.

    Keys of the source are unique. If the warehouse has a key twice, each of its rows is paired with the source's row.
    """
    wanted, held = next(source, None), next(warehouse, None)
    while wanted or held:
        if held is None or (wanted is not None and wanted.key < held.key):
            yield wanted, None
            wanted = next(source, None)
        elif wanted is None or held.key < wanted.key:
            yield None, held
            held = next(warehouse, None)
        else:
            while held is not None and held.key == wanted.key:
                yield wanted, held
                held = next(warehouse, None)
            wanted = next(source, None)


def _changes(names: list[str], at_source: Texts, in_warehouse: Texts) -> str:
    changed = [(name, wanted, held) for name, wanted, held in zip(names, at_source, in_warehouse) if wanted != held]
    return "; ".join(f"{name}: {_change(wanted, held)}" for name, wanted, held in changed)


def _change(wanted: str | None, held: str | None) -> str:
    change = f"source {_shown(wanted)}, warehouse {_shown(held)}"
    if wanted is None or held is None or max(len(wanted), len(held)) <= LONGEST:
        return change
    return f"{change}, the same up to character {_same(wanted, held):,}"


def _same(one: str, other: str) -> int:
    """Return how many leading characters both texts share."""
    return sum(takewhile(bool, map(eq, one, other)))


def _shown(text: str | None) -> str:
    return "null" if text is None else repr(shorten(text))
