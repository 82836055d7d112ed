"""Check the keys in a table's rows: none is null, none occurs twice, none refers to a missing row.

Constraints are not enough: a session can write rows while triggers are off, and then PostgreSQL does not check foreign keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg2 import sql

from operations.reconcile.cursors import stream
from operations.reconcile.live import LiveKey, WarehouseTable
from operations.reconcile.result import TableComparison
from operations.values import shorten

_NOTHING = sql.SQL("NULL")


def check_keys(comparison: TableComparison, table: WarehouseTable, tables: Mapping[str, WarehouseTable], warehouse: Any) -> None:
    """Add the rows of one table whose keys are null, repeated, or refer to a missing row."""
    contract = table.contract
    for name in dict.fromkeys((contract.key, contract.lake_key)):
        if name in table.texts:
            for (rows,) in stream(warehouse, _nulls(table, name)):
                comparison.add("broken key", key="null", detail=f"rows without a {name}: {rows}")
    if contract.key in table.texts:
        for key, rows in stream(warehouse, _duplicates(table)):
            comparison.add("duplicate key", key=key, detail=f"{rows} rows with this {contract.key}")
    references = [
        (column.name, tables[column.references])
        for column in contract.columns
        if column.references and column.name in table.texts and tables[column.references].contract.key in tables[column.references].texts
    ]
    if references:
        for key, record_id, dangling in stream(warehouse, _dangling(table, references)):
            comparison.add("broken key", key=key, detail=f"record {record_id}: {', '.join(map(shorten, dangling))}")


def _nulls(table: WarehouseTable, name: str) -> sql.Composed:
    return sql.SQL("SELECT count(*) FROM {} WHERE {} IS NULL HAVING count(*) > 0").format(table.name, sql.Identifier(name))


def _duplicates(table: WarehouseTable) -> sql.Composed:
    return sql.SQL("""
        SELECT key::text, count(*) FROM (SELECT {} AS key FROM {}) AS rows WHERE key IS NOT NULL
        GROUP BY rows.key HAVING count(*) > 1 ORDER BY rows.key
    """).format(_form(table, table.contract.key), table.name)


def _dangling(table: WarehouseTable, references: list[tuple[str, WarehouseTable]]) -> sql.Composed:
    """Return SQL for (key, record id, what is wrong) of every version that refers to a missing row, in one pass over the fact."""
    joins, wrongs, conditions = [], [], []
    for number, (name, parent) in enumerate(references):
        child, key = _comparable(table, name, parent)
        alias = sql.Identifier(f"parent_{number}")
        # A parent that lost its primary key may hold a key twice, and must not double the fact's rows.
        distinct = sql.SQL("" if LiveKey(parent.contract.key) in parent.keys else "DISTINCT")
        parents = sql.SQL("(SELECT {} {} AS key FROM {})").format(distinct, key, parent.name)
        joins.append(sql.SQL("LEFT JOIN {} AS {alias} ON {alias}.key = {child}").format(parents, alias=alias, child=child))
        wrong = sql.SQL("format('%s %s is not in %s', {}::text, coalesce({}::text, 'null'), {}::text)").format(
            sql.Literal(name), sql.Identifier(name), sql.Literal(parent.contract.table)
        )
        wrongs.append(sql.SQL("CASE WHEN {}.key IS NULL THEN {} END").format(alias, wrong))
        conditions.append(sql.SQL("{}.key IS NULL").format(alias))
    return sql.SQL("SELECT {}, {}, array_remove(ARRAY[{}]::text[], NULL) FROM {} {} WHERE {} ORDER BY 2").format(
        table.texts.get(table.contract.lake_key, _NOTHING),
        _form(table, table.contract.key),
        sql.SQL(", ").join(wrongs),
        table.name,
        sql.SQL(" ").join(joins),
        sql.SQL(" OR ").join(conditions),
    )


def _comparable(table: WarehouseTable, name: str, parent: WarehouseTable) -> tuple[sql.Composable, sql.Composable]:
    """Return a reference and the key that it refers to as values of one type: the contracts' type, or text if a column has another type."""
    key = parent.contract.key
    if name in table.values and key in parent.values:
        return table.values[name], parent.values[key]
    return table.texts[name], parent.texts[key]


def _form(table: WarehouseTable, name: str) -> sql.Composable:
    return table.values.get(name, table.texts.get(name, _NOTHING))
