"""Compare all eleven tables of the warehouse with the source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from babel import Locale
from psycopg2 import sql
from totesys.contracts import Contracts

from operations.reconcile.cursors import read_all_rows, scalar, stream
from operations.reconcile.dates import compare_dates
from operations.reconcile.kept_out import KeptOut
from operations.reconcile.keys import check_keys
from operations.reconcile.live import WarehouseTable, read_tables
from operations.reconcile.result import TableComparison
from operations.reconcile.rows import compare_rows
from operations.reconcile.sql import TOMBSTONES, count_rows
from operations.reconcile.structure import check_structure


def compare_all(contracts: Contracts, source: Any, warehouse: Any, kept_out: KeptOut | None = None) -> Iterator[TableComparison]:
    """Yield a comparison per table, dimensions first, over two psycopg2 connections whose transactions have one snapshot each.

    psycopg2.errors.UndefinedTable when no load has prepared the warehouse, or the source lacks a table. Whatever disagrees with the
    contracts in the warehouse is a difference. `kept_out` says why ingest keeps a row out.
    """
    for connection in (source, warehouse):
        read_all_rows(connection)
    # First: every load creates this table. Once it exists, any missing table is a difference.
    scalar(warehouse, count_rows(TOMBSTONES))
    tables = read_tables(warehouse, contracts)
    for contract in contracts.warehouse.values():
        table, comparison = tables[contract.table], TableComparison(contract.table)
        check_structure(comparison, table, contracts)
        check_keys(comparison, table, tables, warehouse)
        if contract.inputs:
            compare_rows(comparison, table, contracts, source, warehouse, kept_out or KeptOut())
        else:
            compare_dates(comparison, table, tables, warehouse)
        if contract.table == "dim_currency":
            _check_names(comparison, table, warehouse)
        yield comparison


def _check_names(comparison: TableComparison, table: WarehouseTable, warehouse: Any) -> None:
    """Add the currencies whose name is not that of Unicode CLDR. A code without a name there must be its own name."""
    columns = ("currency_id", "currency_code", "currency_name")
    if not table.texts.keys() >= {*columns}:
        return
    names = Locale("en").currencies
    texts = sql.SQL(", ").join(table.texts[name] for name in columns)
    query = sql.SQL("SELECT {} FROM {} ORDER BY {}").format(texts, table.name, sql.Identifier(columns[0]))
    for key, code, name in stream(warehouse, query):
        expected = names.get(code, code)
        if name != expected:
            comparison.add("stale", key=key, detail=f"currency_name: wanted {expected!r}, warehouse {name!r}")
