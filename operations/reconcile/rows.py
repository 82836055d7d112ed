"""Compares the current rows of one warehouse table with the source: digests first, rows only where digests differ. Memory is bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from totesys.contracts import Contract, Contracts

from operations.reconcile import sql
from operations.reconcile.result import Comparison

Texts = list[str | None]
Row = tuple[int, Texts]
Tombstones = Callable[[str], Iterable[int]]


def compare_table(contract: Contract, contracts: Contracts, source: Any, warehouse: Any, tombstones: Tombstones) -> Comparison:
    """Compares one table over two psycopg2 connections, each in a transaction of one snapshot.

    `tombstones` gives the keys of a source table that the lake knows as deleted; it is asked only when the warehouse has keys
    that the source has not. Such a key is kept history when it is among them, and an extra row when it is not.
    """
    comparison = Comparison(contract.table)
    wanted, held = sql.source_rows(contract, contracts), sql.warehouse_rows(contract)
    source_digests, warehouse_digests = _digests(source, wanted), _digests(warehouse, held)
    comparison.source_rows = sum(rows for rows, _ in source_digests.values())
    comparison.warehouse_rows = sum(rows for rows, _ in warehouse_digests.values())

    buckets = sorted(
        bucket for bucket in {*source_digests, *warehouse_digests} if source_digests.get(bucket) != warehouse_digests.get(bucket)
    )
    names = [column.name for column in sql.compared_columns(contract)]
    deleted: set[int] | None = None
    pairs = _merged(_rows(source, wanted, buckets), _rows(warehouse, held, buckets)) if buckets else iter(())
    for key, at_source, in_warehouse in pairs:
        if in_warehouse is None:
            comparison.add(key, "missing")
        elif at_source is None:
            if deleted is None:
                deleted = set(tombstones(contract.inputs[0]))
            if key in deleted:
                comparison.gone += 1
            else:
                comparison.add(key, "extra", "the source has no such key, and the lake does not know it as deleted")
        elif at_source != in_warehouse:
            comparison.add(key, "stale", _changes(names, at_source, in_warehouse))

    if contract.version_of:
        with warehouse.cursor("duplicate_versions") as cursor:
            cursor.execute(sql.duplicate_versions(contract))
            for key, record_id in cursor:
                comparison.add(key, "duplicate version", f"record {record_id} repeats the version before it")
    return comparison


def _digests(connection: Any, rows: Any) -> dict[int, tuple[int, int]]:
    with connection.cursor() as cursor:
        cursor.execute(sql.digests(rows))
        return {bucket: (count, hash_sum) for bucket, count, hash_sum in cursor}


def _rows(connection: Any, rows: Any, buckets: list[int]) -> Iterator[Row]:
    """Streams rows from a cursor of the server's."""
    with connection.cursor("rows") as cursor:
        cursor.execute(sql.rows_of_buckets(rows), (buckets,))
        yield from cursor


def _merged(source: Iterator[Row], warehouse: Iterator[Row]) -> Iterator[tuple[int, Texts | None, Texts | None]]:
    """Both sides by key, in the order of keys; None where a side has no row."""
    wanted, held = next(source, None), next(warehouse, None)
    while wanted or held:
        if held is None or (wanted is not None and wanted[0] < held[0]):
            assert wanted is not None
            yield wanted[0], wanted[1], None
            wanted = next(source, None)
        elif wanted is None or held[0] < wanted[0]:
            yield held[0], None, held[1]
            held = next(warehouse, None)
        else:
            yield wanted[0], wanted[1], held[1]
            wanted, held = next(source, None), next(warehouse, None)


def _changes(names: list[str], at_source: Texts, in_warehouse: Texts) -> str:
    changed = [(name, wanted, held) for name, wanted, held in zip(names, at_source, in_warehouse) if wanted != held]
    return "; ".join(f"{name}: source {_shown(wanted)}, warehouse {_shown(held)}" for name, wanted, held in changed)


def _shown(text: str | None) -> str:
    return "null" if text is None else repr(text)
