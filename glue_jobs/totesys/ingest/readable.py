"""Build the SQL that selects a table's columns in the contract's types, as far as the values fit. Only source.py uses it."""

from __future__ import annotations

from psycopg2 import sql

from totesys.contracts import UNREADABLE, Column, Contract
from totesys.contracts.types import INTEGER_BITS, digits
from totesys.ingest.drift import LiveTable


def selected(contract: Contract, live: LiveTable) -> list[sql.Composable]:
    """Return the contract's columns in order, then UNREADABLE. A value that does not fit its contract's type is null. The table is `t`."""
    fits = {column.name: _fits(column, live.columns[column.name].type) for column in contract.columns}
    tested = {name: condition for name, condition in fits.items() if condition}
    columns = [_column(column, live.columns[column.name].type, fits[column.name]) for column in contract.columns]
    return [*columns, sql.SQL("{} AS {}").format(_misfits(tested), sql.Identifier(UNREADABLE))]


def _misfits(tested: dict[str, sql.Composable]) -> sql.Composable:
    if not tested:
        return sql.SQL("NULL::text")
    pairs = [
        sql.SQL("{}, CASE WHEN ({}) IS FALSE THEN {}::text END").format(sql.Literal(name), condition, sql.Identifier("t", name))
        for name, condition in tested.items()
    ]
    return sql.SQL("CASE WHEN {} THEN NULL ELSE jsonb_strip_nulls(jsonb_build_object({}))::text END").format(
        sql.SQL(" AND ").join(sql.SQL("({}) IS NOT FALSE").format(condition) for condition in tested.values()),
        sql.SQL(", ").join(pairs),
    )


def _column(column: Column, live_type: str, fits: sql.Composable | None) -> sql.Composable:
    value: sql.Composable = sql.Identifier("t", column.name)
    if column.type == "string":
        value = sql.SQL("{}::text").format(value)  # COPY would write char(n) with its padding; the cast removes the padding
    elif live_type != column.source_type:
        value = sql.SQL("{}::{}").format(value, sql.SQL(column.source_type or ""))
    if fits:
        value = sql.SQL("CASE WHEN {} THEN {} END").format(fits, value)
    return sql.SQL("{} AS {}").format(value, sql.Identifier(column.name))


def _fits(column: Column, live_type: str) -> sql.Composable | None:
    """Return the condition under which the value fits the contract's type; None when it always fits."""
    value, is_same = sql.Identifier("t", column.name), live_type == column.source_type
    if column.type == "timestamp":  # the lake cannot hold infinity, years before Christ, and years of five digits
        conditions = [sql.SQL("{0} >= '0001-01-01' AND {0} < '10000-01-01'").format(value)]
        if not is_same:
            conditions.append(sql.SQL("{0}::{1} = {0}").format(value, sql.SQL(column.source_type or "")))
        return sql.SQL(" AND ").join(conditions)
    if column.type == "date":  # as for timestamps
        return sql.SQL("{} BETWEEN '0001-01-01' AND '9999-12-31'").format(value)
    if decimal := digits(column.type):  # this also excludes NaN, which PostgreSQL sorts above all numbers
        return sql.SQL("abs({}) < {}").format(value, sql.Literal(10 ** (decimal.precision - decimal.scale)))
    if column.type in INTEGER_BITS and not is_same:
        bound = 2 ** (INTEGER_BITS[column.type] - 1)
        return sql.SQL("{} BETWEEN {} AND {}").format(value, sql.Literal(-bound), sql.Literal(bound - 1))
    return None


def as_json(table: sql.Composable, key: str, live: LiveTable) -> sql.Composable:
    """Return the SELECT of whole rows as the source has them: key, transaction, JSON text."""
    key_text = sql.SQL("{}::text").format(sql.Identifier("t", key)) if key in live.columns else sql.SQL("NULL::text")
    return sql.SQL("SELECT {}, t.xmin::text::bigint, to_jsonb(t.*)::text FROM {} AS t").format(key_text, table)
