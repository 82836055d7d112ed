"""Compares all eleven tables of the warehouse with the source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from babel import Locale
from totesys.contracts import Contracts

from operations.reconcile.dates import check_dates
from operations.reconcile.result import Comparison
from operations.reconcile.rows import Tombstones, compare_table


def compare_all(contracts: Contracts, source: Any, warehouse: Any, tombstones: Tombstones) -> Iterator[Comparison]:
    """One comparison per table, dimensions first, over two psycopg2 connections whose transactions each see one moment.

    `tombstones` gives the keys of a source table that the lake knows as deleted.
    """
    for contract in contracts.warehouse.values():
        if not contract.inputs:
            yield check_dates(contracts, warehouse)
            continue
        comparison = compare_table(contract, contracts, source, warehouse, tombstones)
        if contract.table == "dim_currency":
            _check_names(comparison, warehouse)
        yield comparison


def _check_names(comparison: Comparison, warehouse: Any) -> None:
    """Adds the currencies whose name is not the one that Unicode CLDR gives their code; the code itself stands for a name it lacks."""
    names = Locale("en").currencies
    with warehouse.cursor() as cursor:
        cursor.execute("SELECT currency_id, currency_code, currency_name FROM dim_currency ORDER BY currency_id")
        for key, code, name in cursor.fetchall():
            expected = names.get(code, code)
            if name != expected:
                comparison.add(key, "stale", f"currency_name: wanted {expected!r}, warehouse {name!r}")
