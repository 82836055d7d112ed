"""What is really there: the rows of the warehouse, and of the lake by its newest publish, compared with the truth."""

from __future__ import annotations

import datetime
import io
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow.parquet as pq
from totesys.contracts import load_contracts
from totesys.lake.manifests import PartitionState, PublishManifest
from totesys.lake.store import Bucket

from tests.exactness.oracle import DIMENSIONS, FACTS, SOURCE_TABLES, RowDifference, Truth, calendar_row, compare, lake_names


def loaded_through(connection: Any) -> int:
    """The newest batch that the warehouse holds, by its ledger; 0 before the first load."""
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('etl.load_ledger')")
        if cursor.fetchone()[0] is None:
            return 0
        cursor.execute("SELECT through_batch_seq FROM etl.load_ledger ORDER BY load_seq DESC LIMIT 1")
        newest = cursor.fetchone()
        return int(newest[0]) if newest else 0


def warehouse_differences(connection: Any, truth: Truth, through: int) -> Iterator[RowDifference]:
    """How the warehouse, with what waits in it, differs from the truth after batch `through`.

    The record ids of a key follow its versions, and those that wait are its latest. Whatever waits has a cause.
    """
    if not through:
        return
    used: set[datetime.date] = set()
    present = {table: {row[0] for row in _warehouse_rows(connection, table)} for table in (*DIMENSIONS, "dim_date")}
    for fact, (source, _) in FACTS.items():
        rows = _warehouse_rows(connection, fact, order=load_contracts().warehouse[fact].key)
        waiting = waiting_rows(connection, fact)
        expected = [version.values for version in truth.facts(fact, through)]
        both = [*rows, *(row for row, _ in waiting)]
        yield from compare("warehouse", fact, expected, both)
        yield from _order_differences(fact, expected, both)
        yield from _causeless(fact, waiting, present)
        used |= {value for row in rows for value in row if isinstance(value, datetime.date)}
        view, alive = f"current_{fact.removeprefix('fact_')}", truth.alive(source, through)
        latest = [versions[-1] for key, versions in _by_key(fact, rows).items() if key in alive]
        yield from compare("warehouse", view, latest, _rows(connection, view, lake_names(fact)))
    for dimension in DIMENSIONS:
        yield from _dimension_differences("warehouse", dimension, truth, through, _warehouse_rows(connection, dimension))
    tombstones = _rows(connection, "etl.tombstone", ["source_table", "key", "batch_seq"])
    yield from compare("warehouse", "etl.tombstone", truth.tombstones(through), tombstones)
    yield from _calendar_differences("warehouse", _warehouse_rows(connection, "dim_date"), used)


def lake_differences(processed: Bucket, publish: PublishManifest, truth: Truth, through: int) -> Iterator[RowDifference]:
    """How the lake differs from the truth after batch `through`, by the files that the publish names."""
    used: set[datetime.date] = set()
    for fact in FACTS:
        rows = _lake_rows(processed, publish.star.get(fact, {}).values(), [*lake_names(fact), "batch_seq"])
        expected = truth.facts(fact, through)
        yield from compare("lake", fact, [(*version.values, version.batch_seq) for version in expected], rows)
        used |= {value for row in rows for value in row if isinstance(value, datetime.date)}
    for dimension in DIMENSIONS:
        rows = _lake_rows(processed, publish.star.get(dimension, {}).values(), lake_names(dimension))
        yield from _dimension_differences("lake", dimension, truth, through, rows)
    yield from _calendar_differences("lake", _lake_rows(processed, publish.star["dim_date"].values(), lake_names("dim_date")), used)
    for table in SOURCE_TABLES:
        names = [column.name for column in load_contracts().source[table].columns]
        rows = _lake_rows(processed, publish.mirror.get(table, {}).values(), ["is_deleted", *names])
        yield from compare("lake, mirror", table, truth.mirror(table, through), [row[1:] for row in rows if not row[0]])
        yield from compare("lake, deleted", table, truth.deleted(table, through), [row[1:] for row in rows if row[0]])


def waiting_rows(connection: Any, fact: str) -> list[tuple[tuple[Any, ...], set[str]]]:
    """The fact's versions that wait, in the order of batches, and the dimensions that each waits for."""
    table, names = f"etl.waiting_{fact.removeprefix('fact_')}", [*lake_names(fact), "waits_for"]
    rows = _rows(connection, f"{table} WHERE went_in_after IS NULL", names, order="batch_seq")
    return [(row[:-1], set(row[-1])) for row in rows]


def _causeless(fact: str, waiting: list[tuple[tuple[Any, ...], set[str]]], present: dict[str, set[Any]]) -> Iterator[RowDifference]:
    """Versions that wait though all their parents are there and no earlier version of their key waits, or that name other parents."""
    columns = {column.name: column.references for column in load_contracts().warehouse[fact].columns if column.references}
    causeless, behind = [], set()
    for row, waits_for in waiting:
        values = dict(zip(lake_names(fact), row))
        key = values[f"{FACTS[fact][0]}_id"]
        lacking = {table for name, table in columns.items() if values[name] is not None and values[name] not in present[table]}
        if lacking != waits_for or not (lacking or key in behind):
            causeless.append(row)
        behind.add(key)
    if causeless:
        yield RowDifference("warehouse, without a cause waiting for", fact, unknown=tuple(causeless))


def _dimension_differences(place: str, dimension: str, truth: Truth, through: int, rows: list[tuple[Any, ...]]) -> Iterator[RowDifference]:
    """A row whose parent is not there is as it was when it was whole, or lacks."""
    maybe = [[row for row in rows if row in states][:1] for states in truth.once_whole(dimension, through).values() if states]
    yield from compare(place, dimension, [*truth.dimension(dimension, through), *(row for some in maybe for row in some)], rows)


def _calendar_differences(place: str, rows: list[tuple[Any, ...]], used: Iterable[datetime.date]) -> Iterator[RowDifference]:
    """Every day that a fact uses is there once, and every row that is there is right."""
    days = {row[0] for row in rows} | set(used)
    yield from compare(place, "dim_date", map(calendar_row, days), rows)


def _order_differences(fact: str, expected: list[tuple[Any, ...]], rows: list[tuple[Any, ...]]) -> Iterator[RowDifference]:
    """Of keys that have the right rows: those whose record ids do not follow the order of their versions."""
    wanted, found = _by_key(fact, expected), _by_key(fact, rows)
    disordered = [(key,) for key, versions in found.items() if versions != wanted[key] and sorted(versions) == sorted(wanted[key])]
    if disordered:
        yield RowDifference("warehouse, order of record ids of", fact, unknown=tuple(disordered))


def _by_key(fact: str, rows: Iterable[tuple[Any, ...]]) -> dict[int, list[tuple[Any, ...]]]:
    place = lake_names(fact).index(f"{FACTS[fact][0]}_id")
    versions = defaultdict(list)
    for row in rows:
        versions[row[place]].append(row)
    return versions


def _warehouse_rows(connection: Any, table: str, order: str = "1") -> list[tuple[Any, ...]]:
    return _rows(connection, table, lake_names(table), order)


def _rows(connection: Any, table: str, names: list[str], order: str = "1") -> list[tuple[Any, ...]]:
    with connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(names)} FROM {table} ORDER BY {order}")
        return [tuple(map(_plain, row)) for row in cursor]


def _lake_rows(processed: Bucket, states: Iterable[PartitionState], names: list[str]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for state in states:
        keys = [key for key, _ in processed.objects(state.prefix) if key.endswith(".parquet")]
        for key in keys:
            columns = pq.ParquetFile(io.BytesIO(processed.get(key))).read(names).to_pydict()
            rows += zip(*([_plain(value) for value in columns[name]] for name in names))
    return rows


def _plain(value: Any) -> Any:
    """A value of the warehouse or of a Parquet file as the truth has it."""
    if isinstance(value, datetime.time):
        return value.isoformat(timespec="milliseconds")
    if isinstance(value, datetime.datetime):
        return value.replace(tzinfo=None)
    return value
