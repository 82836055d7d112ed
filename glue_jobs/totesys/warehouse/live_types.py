"""The types of the warehouse's columns as PostgreSQL names them, and whether a column can hold its contract's type."""

from __future__ import annotations

from dataclasses import dataclass

from totesys.contracts.types import WAREHOUSE_TYPES, widens
from totesys.warehouse.models import ETL_SCHEMA, PUBLIC_SCHEMA

# (schema, table, column, type, is a domain, refuses nulls) of every table's columns. For a domain, the type is the domain's base type.
# The type does not include a collation.
COLUMNS = f"""
WITH RECURSIVE below AS (
    SELECT oid AS type, oid AS base, -1 AS size, false AS refuses_nulls FROM pg_type WHERE typtype <> 'd'
    UNION ALL
    SELECT d.oid, below.base, CASE WHEN d.typtypmod >= 0 THEN d.typtypmod ELSE below.size END, d.typnotnull OR below.refuses_nulls
    FROM pg_type AS d JOIN below ON below.type = d.typbasetype
    WHERE d.typtype = 'd'
)
SELECT n.nspname, c.relname, a.attname, format_type(b.base, CASE WHEN a.atttypmod >= 0 THEN a.atttypmod ELSE b.size END),
    b.type <> b.base, a.attnotnull OR b.refuses_nulls
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN below AS b ON b.type = a.atttypid
WHERE n.nspname IN ('{PUBLIC_SCHEMA}', '{ETL_SCHEMA}') AND c.relkind IN ('r', 'p')
ORDER BY n.nspname, c.relname, a.attnum
"""  # nosec B608


@dataclass(frozen=True)
class LiveType:
    """A column's type as PostgreSQL writes it (for a domain, its base type), and whether the column refuses nulls."""

    type: str
    is_domain: bool
    is_not_null: bool


def type_name(warehouse_type: str) -> str:
    """Return a contract's warehouse type as PostgreSQL writes it."""
    return WAREHOUSE_TYPES.get(warehouse_type, warehouse_type)


def holds(live: str, warehouse_type: str) -> bool:
    """Return whether a column of the live type can hold every value of the contract's type and returns it as the same text."""
    wanted = type_name(warehouse_type)
    if wanted == "character varying":
        return live in (wanted, "text")
    return widens(wanted, live) or (live == "numeric" and wanted.startswith("numeric("))
