"""Rows that wait in the warehouse for their parents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from psycopg2 import sql
from totesys.contracts import Contracts
from totesys.warehouse.state import refuse_newer_warehouse

from operations.reconcile.sql import key_origin, waiting_rows


@dataclass(frozen=True)
class Waiting:
    """The waiting rows of one fact: the source table, how many, the first batch with one, and the source tables of the missing parents."""

    table: str
    rows: int
    batch_seq: int
    parents: tuple[str, ...]


def read_waiting(warehouse: Any, contracts: Contracts) -> Iterator[Waiting]:
    """Yield one for each fact that has waiting rows. psycopg2.errors.UndefinedTable before the first load. FatalError when the warehouse is
    newer than this code."""
    with warehouse.cursor() as cursor:
        refuse_newer_warehouse(cursor)
    for contract in contracts.warehouse.values():
        if not contract.version_of:
            continue
        with warehouse.cursor() as cursor:
            cursor.execute(
                sql.SQL(
                    "SELECT count(*), min(batch_seq), ARRAY(SELECT DISTINCT unnest(waits_for) FROM {rows} AS w ORDER BY 1) FROM {rows} AS r"
                ).format(rows=waiting_rows(contract))
            )
            rows, batch_seq, dimensions = cursor.fetchone()
        if rows:
            parents = dict.fromkeys(name for dimension in dimensions for name in contracts.warehouse[dimension].inputs)
            yield Waiting(key_origin(contract), rows, batch_seq, tuple(parents))
