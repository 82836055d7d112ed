"""Compare a warehouse table with its contract: columns, types, nulls, keys. Pure."""

from __future__ import annotations

from totesys.contracts import Contracts
from totesys.warehouse.live_types import holds

from operations.reconcile.live import LiveKey, WarehouseTable, type_name
from operations.reconcile.result import TableComparison


def check_structure(comparison: TableComparison, table: WarehouseTable, contracts: Contracts) -> None:
    """Add what the table lacks, and what differs. A column that is in no contract belongs to somebody else, and is no difference."""
    if not table.exists:
        comparison.add("missing table")
        return
    for column in table.contract.columns:
        live = table.columns.get(column.name)
        if live is None:
            comparison.add("missing column", column=column.name)
            continue
        if not holds(live.type, str(column.warehouse_type)):
            comparison.add("wrong type", column=column.name, detail=f"wanted {type_name(column)}, found {live.type}")
        if live.is_not_null == column.nullable:
            wanted, found = ("nullable", "NOT NULL") if column.nullable else ("NOT NULL", "nullable")
            comparison.add("wrong type", column=column.name, detail=f"wanted {wanted}, found {found}")

    _check_key(comparison, table, LiveKey(table.contract.key), "primary key")
    for column in table.contract.columns:
        if column.references:
            key = LiveKey(column.name, column.references, contracts.warehouse[column.references].key)
            _check_key(comparison, table, key, f"foreign key to {column.references}")


def _check_key(comparison: TableComparison, table: WarehouseTable, key: LiveKey, name: str) -> None:
    if key not in table.keys:
        comparison.add("broken key", column=key.column, detail=f"no {name}")
    elif not table.keys[key]:
        comparison.add("broken key", column=key.column, detail=f"its {name} is not validated")
