"""The warehouse's server: sessions, and the tables and views of an empty warehouse."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import psycopg2
from sqlalchemy import Connection, Engine, NullPool, Table, create_engine, inspect, select, text
from sqlalchemy.schema import AddConstraint, CreateColumn, CreateSchema, SetColumnComment
from sqlalchemy.types import TypeEngine

from totesys.contracts import Contract
from totesys.errors import BadDataError
from totesys.load.models import (
    OWN_SCHEMA,
    STAR_SCHEMA,
    ledger_table,
    put_back_table,
    reconciliation_table,
    star_tables,
    tombstone_table,
    waiting_table,
)
from totesys.load.views import prepare_views
from totesys.secrets import Credentials

# Spark works between our transactions, never within one: a session idle in a transaction is a dead load that holds the ledger.
# Keepalives let both ends notice within two minutes that the other is gone, and keep a long idle connection through NAT.
_SESSION = {
    "TimeZone": "UTC",
    "lock_timeout": "5min",
    "statement_timeout": "1h",
    "idle_in_transaction_session_timeout": "2min",
    "tcp_keepalives_idle": "60",
    "tcp_keepalives_interval": "15",
    "tcp_keepalives_count": "4",
}
_PREPARING = 0x746F7465  # advisory lock: two loads that find an empty warehouse at the same moment


def warehouse_engine(credentials: Credentials, session_name: str) -> Engine:
    """An engine whose sessions bear a name, by which others can tell that their owner lives. Parameters stay out of error messages."""

    def connect() -> psycopg2.extensions.connection:
        options = " ".join(f"-c {name}={value}" for name, value in _SESSION.items())
        keepalives = {"keepalives_idle": 60, "keepalives_interval": 15, "keepalives_count": 4}
        return psycopg2.connect(**credentials.libpq(), application_name=session_name, options=options, **keepalives)

    return create_engine("postgresql+psycopg2://", creator=connect, poolclass=NullPool, hide_parameters=True)


def prepare_warehouse(connection: Connection, warehouse: dict[str, Contract]) -> list[str]:
    """Creates the tables that are missing, keys and foreign keys included, and the views; returns the names of what it made.

    An existing table gets the columns that its contract has and it has not. BadDataError when that cannot be, or a type is another.
    """
    with connection.begin():
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _PREPARING})
        inspector = inspect(connection)
        if not inspector.has_schema(OWN_SCHEMA):
            connection.execute(CreateSchema(OWN_SCHEMA))
        stars = star_tables(warehouse)
        waiting = [waiting_table(contract) for contract in warehouse.values() if contract.version_of]
        tables = [*stars.values(), *waiting, ledger_table(), tombstone_table(), put_back_table(), reconciliation_table()]
        existing = inspector.get_multi_columns(schema=STAR_SCHEMA) | inspector.get_multi_columns(schema=OWN_SCHEMA)
        missing = [table for table in tables if (table.schema, table.name) not in existing]
        types = {
            table: {column["name"]: column["type"] for column in existing[table.schema, table.name]}
            for table in tables
            if table not in missing
        }
        for table, columns in types.items():
            _refuse_other_columns(connection, table, columns)
        for table in missing:
            table.create(connection, checkfirst=False)
        added = [name for table, columns in types.items() for name in _add_columns(connection, table, columns)]
        held = {table: list(dict.fromkeys([*types.get(table, ()), *table.columns.keys()])) for table in stars.values()}
        return [*(table.name for table in missing), *added, *prepare_views(connection, warehouse, held)]


def _refuse_other_columns(connection: Connection, table: Table, existing: Mapping[str, TypeEngine[Any]]) -> None:
    """BadDataError when a column has not its contract's type, or one is missing that must not be null and cannot be added."""
    kinds = {column.name: _name(connection, column.type) for column in table.columns}
    wider = {column.name for column in table.columns if column.autoincrement is True}  # keys that we assign: bigint lasts longer
    found = {name: _name(connection, kind) for name, kind in existing.items() if name in kinds}
    if other := [
        f"{name} is {kind} and should be {kinds[name]}"
        for name, kind in found.items()
        if kind != kinds[name] and not (kind == "BIGINT" and name in wider)
    ]:
        raise BadDataError(
            f"warehouse table {table.fullname} is not what its contract says: {', '.join(other)}. Nothing was loaded: change the type by"
            f" hand (ALTER TABLE {table.fullname} ALTER COLUMN … TYPE …), or go back to the contract that the table was made from"
        )
    required = [column for column in table.columns if column.name not in found and not column.nullable]
    if required and (any(column.primary_key for column in required) or connection.scalar(select(select(table.c[0]).exists()))):
        additions = ", ".join(f"ADD COLUMN {str(CreateColumn(column).compile(connection)).strip()}" for column in required)
        raise BadDataError(
            f"warehouse table {table.fullname} lacks {', '.join(column.name for column in required)}, which its contract has and which must"
            " not be null. Nothing was loaded: make it nullable in catalog/warehouse, or add it by hand, with a DEFAULT for the rows that"
            f" stand: ALTER TABLE {table.fullname} {additions}"
        )


def _add_columns(connection: Connection, table: Table, existing: Collection[str]) -> list[str]:
    """Adds the columns that a table lacks, with their comments and foreign keys; returns their names."""
    lacking = [column for column in table.columns if column.name not in existing]
    for column in lacking:
        definition = str(CreateColumn(column).compile(connection)).strip()
        connection.execute(text(f"ALTER TABLE {table.fullname} ADD COLUMN {definition}"))
        connection.execute(SetColumnComment(column))
        for key in table.foreign_key_constraints:
            if column in key.columns.values():
                connection.execute(AddConstraint(key))
    return [f"{table.fullname}.{column.name}" for column in lacking]


def _name(connection: Connection, kind: TypeEngine[Any]) -> str:
    return str(kind.compile(connection.dialect))
