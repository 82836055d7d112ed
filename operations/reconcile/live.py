"""Read the structure of the warehouse's tables, and how to read their columns in the contracts' types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg2
from psycopg2 import sql
from totesys.contracts import Column, Contract, Contracts
from totesys.warehouse import live_types
from totesys.warehouse.models import PUBLIC_SCHEMA

_TO_TEXT = {
    "date": sql.SQL("to_char({}, 'YYYY-MM-DD')"),
    "time": sql.SQL("to_char({}, 'HH24:MI:SS.US')"),  # microseconds: a time that lost or gained digits is another time
}
_AS_IS = sql.SQL("{}::text")

_KEYS = """
SELECT c.relname, k.convalidated, parent.relname,
    ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = k.conrelid AND attnum = ANY(k.conkey)),
    ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = k.confrelid AND attnum = ANY(k.confkey))
FROM pg_constraint AS k JOIN pg_class AS c ON c.oid = k.conrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN pg_class AS parent ON parent.oid = k.confrelid AND parent.relnamespace = n.oid
WHERE n.nspname = %s AND c.relname = ANY(%s) AND k.contype IN ('p', 'f')
"""


@dataclass(frozen=True)
class WarehouseColumn:
    """A column's type as PostgreSQL writes it (for a domain, its base type), and whether the column refuses nulls."""

    type: str
    is_not_null: bool


@dataclass(frozen=True)
class LiveKey:
    """A primary key, or a foreign key to `parent`. It has one column, like all keys of the contracts."""

    column: str
    parent: str | None = None
    parent_column: str | None = None


@dataclass(frozen=True)
class WarehouseTable:
    """A warehouse table as it is. Without columns, it does not exist.

    keys    primary and foreign keys, and whether PostgreSQL has checked the rows against each
    values  column -> expression of the contract's type; lacks columns that are missing or whose values have no such form
    texts   column -> expression of the text to compare, the same for the same value whatever the live type; lacks missing columns
    """

    contract: Contract
    columns: Mapping[str, WarehouseColumn]
    keys: Mapping[LiveKey, bool]
    values: Mapping[str, sql.Composable]
    texts: Mapping[str, sql.Composable]

    @property
    def exists(self) -> bool:
        return bool(self.columns)

    @property
    def name(self) -> sql.Identifier:
        return sql.Identifier(PUBLIC_SCHEMA, self.contract.table)


def read_tables(warehouse: Any, contracts: Contracts) -> dict[str, WarehouseTable]:
    """Return every table of the contracts, as the transaction of a psycopg2 connection sees it."""
    names = list(contracts.warehouse)
    columns: dict[str, dict[str, WarehouseColumn]] = {name: {} for name in names}
    keys: dict[str, dict[LiveKey, bool]] = {name: {} for name in names}
    with warehouse.cursor() as cursor:
        cursor.execute(live_types.COLUMNS)
        for schema, table, column, type_, _, is_not_null in cursor:
            if schema == PUBLIC_SCHEMA and table in columns:
                columns[table][column] = WarehouseColumn(type_, is_not_null)
        cursor.execute(_KEYS, (PUBLIC_SCHEMA, names))
        for table, is_validated, parent, own, referred in cursor:
            if len(own) == 1:
                key = LiveKey(own[0], parent, *referred)
                keys[table][key] = is_validated or keys[table].get(key, False)
    return {name: _live_table(warehouse, contract, columns[name], keys[name]) for name, contract in contracts.warehouse.items()}


def _live_table(warehouse: Any, contract: Contract, columns: dict[str, WarehouseColumn], keys: dict[LiveKey, bool]) -> WarehouseTable:
    values: dict[str, sql.Composable] = {}
    texts: dict[str, sql.Composable] = {}
    for column in contract.columns:
        if column.name not in columns:
            continue
        name, live_type = sql.Identifier(column.name), columns[column.name].type
        if live_types.holds(live_type, str(column.warehouse_type)):
            values[column.name], texts[column.name] = name, to_text(column, name)
            continue
        # A column of another type: a value that both types can hold is equal, and any other value is compared as text.
        cast = sql.SQL("{}::{}").format(name, sql.SQL(type_name(column)))
        back = sql.SQL("{}::{}::text").format(cast, sql.SQL(live_type))
        if _can_read(warehouse, contract.table, back):
            values[column.name] = cast
            texts[column.name] = sql.SQL("CASE WHEN {} = {name}::text THEN {} ELSE {name}::text END").format(
                back, to_text(column, cast), name=name
            )
        else:
            texts[column.name] = _AS_IS.format(name)
    return WarehouseTable(contract, columns, keys, values, texts)


def type_name(column: Column) -> str:
    """Return the contract's type of a warehouse column as PostgreSQL writes it."""
    assert column.warehouse_type is not None, f"the contract of column {column.name} has no warehouse type"
    return live_types.type_name(column.warehouse_type)


def to_text(column: Column, value: sql.Composable) -> sql.Composed:
    """Return the text that is compared, for a value of a warehouse column's type."""
    return _TO_TEXT.get(column.warehouse_type or "", _AS_IS).format(value)


def _can_read(warehouse: Any, table: str, expression: sql.Composable) -> bool:
    """Whether PostgreSQL can evaluate the expression for every row."""
    with warehouse.cursor() as cursor:
        cursor.execute("SAVEPOINT reading")
        try:
            cursor.execute(sql.SQL("SELECT count({}) FROM {}").format(expression, sql.Identifier(PUBLIC_SCHEMA, table)))
        except (psycopg2.DataError, psycopg2.ProgrammingError):
            cursor.execute("ROLLBACK TO SAVEPOINT reading")
            return False
        cursor.execute("RELEASE SAVEPOINT reading")
        return True
