"""Check dim_date, which comes from no source table: it must have whole years that cover every date of every fact, and each day's
values must be right. Days are read as text, because PostgreSQL has days that Python does not have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg2 import sql

from operations.reconcile.cursors import scalar, stream
from operations.reconcile.live import WarehouseTable
from operations.reconcile.result import TableComparison
from operations.reconcile.sql import count_rows

# The value of each column for its day. Names come from to_char, whose default language is English.
_DESCRIPTION = {
    "year": "extract(year FROM {})::int",
    "month": "extract(month FROM {})::int",
    "day": "extract(day FROM {})::int",
    "day_of_week": "extract(isodow FROM {})::int",
    "day_name": "to_char({}, 'FMDay')",
    "month_name": "to_char({}, 'FMMonth')",
    "quarter": "extract(quarter FROM {})::int",
}


def compare_dates(comparison: TableComparison, table: WarehouseTable, tables: Mapping[str, WarehouseTable], warehouse: Any) -> None:
    """Add the days that the calendar lacks, those that it should not have, and those with wrong values."""
    if not table.exists:
        return
    comparison.warehouse_rows = scalar(warehouse, count_rows(table.name))
    day = table.values.get(table.contract.key)
    if day is None:
        comparison.add("not compared", detail="its rows cannot be told apart without their key")
        return
    spans = [span for fact in tables.values() if (span := _span_of(fact))]
    if spans:
        used = sql.SQL("SELECT date_trunc('year', min(first)) AS first, date_trunc('year', max(last)) AS last FROM ({}) AS facts").format(
            sql.SQL(" UNION ALL ").join(spans)
        )
        for (missing,) in stream(warehouse, _missing_days(table, day, used)):
            comparison.add("missing", key=missing, detail="the facts' dates span its year")
        for (extra,) in stream(warehouse, _extra_days(table, day, used)):
            comparison.add("extra", key=extra, detail="the facts' dates do not span its year, and the calendar has not all of it")
    for wrong, columns in stream(warehouse, _wrong_days(table, day)):
        comparison.add("wrong", key=wrong, detail=", ".join(columns))


def _span_of(fact: WarehouseTable) -> sql.Composed | None:
    """Return SQL for the first and the last date of a fact, in one pass; None if the table is no fact or has no readable date."""
    dates = [fact.values[column.name] for column in fact.contract.columns if column.references == "dim_date" and column.name in fact.values]
    if not dates:
        return None

    def ends(function: str) -> sql.Composed:
        return sql.SQL(", ").join(sql.SQL(function + "({date}) FILTER (WHERE isfinite({date}))").format(date=date) for date in dates)

    return sql.SQL("SELECT least({})::timestamp AS first, greatest({})::timestamp AS last FROM {}").format(
        ends("min"), ends("max"), fact.name
    )


def _missing_days(table: WarehouseTable, day: sql.Composable, used: sql.Composed) -> sql.Composed:
    return sql.SQL("""
        SELECT wanted.day::date::text
        FROM ({}) AS used CROSS JOIN generate_series(first, last + interval '1 year - 1 day', interval '1 day') AS wanted (day)
        EXCEPT SELECT {}::text FROM {} ORDER BY 1
    """).format(used, day, table.name)


def _extra_days(table: WarehouseTable, day: sql.Composable, used: sql.Composed) -> sql.Composed:
    """Return SQL for the days of years that are neither used nor complete. A calendar may have unused years if they are complete."""
    return sql.SQL("""
        SELECT held.day::text
        FROM (SELECT day, year, count(*) OVER (PARTITION BY year) AS days
              FROM (SELECT {day} AS day, date_trunc('year', {day}::timestamp) AS year FROM {table}) AS calendar
              WHERE day IS NOT NULL) AS held
        CROSS JOIN ({used}) AS used
        WHERE (held.year BETWEEN used.first AND used.last) IS NOT TRUE
            AND CASE WHEN isfinite(held.day) THEN held.days <> extract(doy FROM held.year + interval '1 year - 1 day') ELSE true END
        ORDER BY held.day
    """).format(day=day, table=table.name, used=used)


def _wrong_days(table: WarehouseTable, day: sql.Composable) -> sql.Composed:
    checks = [
        sql.SQL("CASE WHEN {} IS DISTINCT FROM ({})::text THEN {} END").format(
            table.texts[name], sql.SQL(expected).format(day), sql.Literal(name)
        )
        for name, expected in _DESCRIPTION.items()
        if name in table.texts
    ]
    return sql.SQL("""
        SELECT day::text, wrong
        FROM (SELECT {} AS day, array_remove(ARRAY[{}]::text[], NULL) AS wrong FROM {} WHERE isfinite({})) AS checked
        WHERE wrong <> '{{}}' ORDER BY checked.day
    """).format(day, sql.SQL(", ").join(checks), table.name, day)
