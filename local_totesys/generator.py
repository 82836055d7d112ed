"""Fill totesys with a realistic history. The same seed, size and last day give the same rows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Any

from psycopg2 import sql
from totesys.contracts import load_contracts

from local_totesys import orders as order_sql
from local_totesys.orders import business_day, business_day_number
from local_totesys.reference import insert_reference

ORDERS_A_DAY = 30
LONGEST_HISTORY = 534  # Weekdays, about two years. A source that is larger than the real one has more orders a day.
SHORTEST_HISTORY = 10
FIRST_ROWS_AT = time(14, 20, 49, 962000)

Progress = Callable[[str], None]


class SourceError(Exception):
    """The source is not in the state that the command needs. The message says what to do."""


def generate(connection: Any, orders: int, seed: int, until: date, progress: Progress = lambda step: None) -> dict[str, int]:
    """Fill an empty source with a history that ends with the day `until`, in one transaction. Return the rows of each table.

    Needs the tables' owner, since the foreign keys are dropped first and added last. Then PostgreSQL checks each key with one join. With
    the keys in place, a trigger would check every row of a million orders.
    """
    last_day = business_day_number(until)
    days = max(SHORTEST_HISTORY, min(LONGEST_HISTORY, orders // ORDERS_A_DAY))
    first_day = last_day - days + 1
    starts_at = datetime.combine(business_day(first_day) - timedelta(days=1), FIRST_ROWS_AT)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM currency)")
        if cursor.fetchone()[0]:
            raise SourceError("the source has rows already: generate fills only an empty source (next-day adds rows)")
        cursor.execute("SET LOCAL work_mem = '256MB'; SET LOCAL maintenance_work_mem = '256MB'")
        foreign_keys = drop_foreign_keys(cursor)
        progress("reference tables")
        insert_reference(cursor, seed, starts_at, (until - starts_at.date()).days)
        insert_orders(cursor, orders, first_day, last_day, until, seed, progress)
        progress("foreign keys")
        for foreign_key in foreign_keys:
            cursor.execute(foreign_key)
        analyze(cursor)
        return {table: count_rows(cursor, table) for table in load_contracts().source}


def drop_foreign_keys(cursor: Any) -> list[str]:
    """Drop the foreign keys of the contracts' tables. Return the statements that add them again."""
    cursor.execute(
        """
        SELECT format('ALTER TABLE %%s DROP CONSTRAINT %%I', conrelid::regclass, conname),
            format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', conrelid::regclass, conname, pg_get_constraintdef(oid))
        FROM pg_constraint WHERE contype = 'f' AND conrelid = ANY(%s::regclass[])
        ORDER BY conrelid, conname
        """,
        [[f'"{table}"' for table in load_contracts().source]],
    )
    found = cursor.fetchall()
    for drop, _ in found:
        cursor.execute(drop)
    return [add for _, add in found]


def analyze(cursor: Any) -> None:
    """Gather statistics of the contracts' tables. A plain ANALYZE would also try the system catalogs, and warn that we do not own them."""
    cursor.execute(sql.SQL("ANALYZE {}").format(sql.SQL(", ").join(map(sql.Identifier, load_contracts().source))))


def insert_orders(cursor: Any, orders: int, first_day: int, last_day: int, until: date, seed: int, progress: Progress) -> None:
    """Add orders, each with its transaction and payment, on the business days from `first_day` to `last_day`."""
    values: dict[str, Any] = {"orders": orders, "first_day": first_day, "last_day": last_day, "until": until, "seed": seed}
    values["sales_share"] = order_sql.SALES_SHARE
    for name, table in (("known", "transaction"), ("sales_known", "sales_order"), ("purchases_known", "purchase_order")):
        values[name] = last_key(cursor, table)
    for table in ("staff", "counterparty", "currency", "address", "design"):
        values[table] = all_keys(cursor, table)
    cursor.execute(order_sql.FUNCTIONS, values)
    for step, statement in order_sql.STEPS.items():
        progress(step)
        cursor.execute(statement, values)
    for table in load_contracts().source:
        advance_sequence(cursor, table)


def key_of(table: str) -> str:
    return load_contracts().source[table].key


def last_key(cursor: Any, table: str) -> int:
    cursor.execute(sql.SQL("SELECT coalesce(max({}), 0) FROM {}").format(sql.Identifier(key_of(table)), sql.Identifier(table)))
    return int(cursor.fetchone()[0])


def all_keys(cursor: Any, table: str) -> list[int]:
    cursor.execute(sql.SQL("SELECT {0} FROM {1} ORDER BY {0}").format(sql.Identifier(key_of(table)), sql.Identifier(table)))
    return [key for (key,) in cursor.fetchall()]


def count_rows(cursor: Any, table: str) -> int:
    cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table)))
    return int(cursor.fetchone()[0])


def advance_sequence(cursor: Any, table: str) -> None:
    """Move the key's sequence past the rows that were inserted with a key."""
    statement = sql.SQL("SELECT setval(pg_get_serial_sequence({}, {}), max({})) FROM {}")
    key = key_of(table)
    cursor.execute(statement.format(sql.Literal(f'"{table}"'), sql.Literal(key), sql.Identifier(key), sql.Identifier(table)))
