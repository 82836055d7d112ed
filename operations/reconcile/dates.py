"""Checks dim_date, which no source table makes: it must hold every day of every year that a fact uses, each described rightly."""

from __future__ import annotations

from typing import Any

from psycopg2 import sql
from totesys.contracts import Contract, Contracts

from operations.reconcile.result import Comparison

# What each column must say of its day. Names come from to_char, which speaks English unless it is asked for another language.
_DESCRIPTION = {
    "year": "extract(year FROM date_id)::int",
    "month": "extract(month FROM date_id)::int",
    "day": "extract(day FROM date_id)::int",
    "day_of_week": "extract(isodow FROM date_id)::int",
    "day_name": "to_char(date_id, 'FMDay')",
    "month_name": "to_char(date_id, 'FMMonth')",
    "quarter": "extract(quarter FROM date_id)::int",
}


def check_dates(contracts: Contracts, warehouse: Any) -> Comparison:
    """Compares dim_date with the calendar, inside the warehouse."""
    comparison = Comparison("dim_date")
    with warehouse.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM dim_date")
        comparison.warehouse_rows = cursor.fetchone()[0]
    with warehouse.cursor("missing_days") as cursor:
        cursor.execute(_missing_days(contracts))
        for (day,) in cursor:
            comparison.add(day, "missing", "a fact uses its year")
    with warehouse.cursor("wrong_days") as cursor:
        cursor.execute(_wrong_days())
        for day, columns in cursor:
            comparison.add(day, "wrong", ", ".join(columns))
    return comparison


def _missing_days(contracts: Contracts) -> sql.Composed:
    return sql.SQL("""
        SELECT day::date
        FROM ({}) AS used, generate_series(make_date(used.year, 1, 1), make_date(used.year, 12, 31), interval '1 day') AS day
        EXCEPT SELECT date_id FROM dim_date ORDER BY 1
    """).format(sql.SQL(" UNION ").join(_years(contract) for contract in contracts.facts.values()))


def _years(contract: Contract) -> sql.Composed:
    """The years that one fact uses, in one pass over it."""
    columns = [sql.Identifier(column.name) for column in contract.columns if column.references == "dim_date"]
    values = sql.SQL(", ").join(sql.SQL("({})").format(column) for column in columns)
    return sql.SQL("SELECT extract(year FROM day)::int AS year FROM {} CROSS JOIN LATERAL (VALUES {}) AS dates (day)").format(
        sql.Identifier(contract.table), values
    )


def _wrong_days() -> sql.Composed:
    checks = [
        sql.SQL("CASE WHEN {} IS DISTINCT FROM {} THEN {} END").format(sql.Identifier(name), sql.SQL(expected), sql.Literal(name))
        for name, expected in _DESCRIPTION.items()
    ]
    return sql.SQL("""
        SELECT date_id, wrong
        FROM (SELECT date_id, array_remove(ARRAY[{}]::text[], NULL) AS wrong FROM dim_date) AS checked
        WHERE wrong <> '{{}}' ORDER BY date_id
    """).format(sql.SQL(", ").join(checks))
