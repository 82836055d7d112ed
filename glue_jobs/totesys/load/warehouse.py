"""The warehouse's server: sessions, and the tables and views of an empty warehouse."""

from __future__ import annotations

import psycopg2
from sqlalchemy import Connection, Engine, NullPool, Table, create_engine, inspect, text
from sqlalchemy.schema import CreateColumn, CreateSchema

from totesys.contracts import Contract
from totesys.errors import BadDataError
from totesys.load.models import OWN_SCHEMA, STAR_SCHEMA, ledger_table, put_back_table, reconciliation_table, star_tables, tombstone_table
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

    Tables that exist are left as they are. BadDataError when an existing table lacks a column of its contract.
    """
    with connection.begin():
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _PREPARING})
        inspector = inspect(connection)
        if not inspector.has_schema(OWN_SCHEMA):
            connection.execute(CreateSchema(OWN_SCHEMA))
        stars = star_tables(warehouse)
        tables = [*stars.values(), ledger_table(), tombstone_table(), put_back_table(), reconciliation_table()]
        existing = inspector.get_multi_columns(schema=STAR_SCHEMA) | inspector.get_multi_columns(schema=OWN_SCHEMA)
        missing = [table for table in tables if (table.schema, table.name) not in existing]
        for table in tables:
            if table not in missing:
                _check_columns(table, {column["name"] for column in existing[table.schema, table.name]}, connection)
        for table in missing:
            table.create(connection, checkfirst=False)
        return [*(table.name for table in missing), *prepare_views(connection, warehouse, stars)]


def _check_columns(table: Table, existing: set[str], connection: Connection) -> None:
    lacking = [column for column in table.columns if column.name not in existing]
    if lacking:
        additions = ", ".join(f"ADD COLUMN {str(CreateColumn(column).compile(connection)).strip()}" for column in lacking)
        raise BadDataError(
            f"warehouse table {table.fullname} lacks {', '.join(column.name for column in lacking)}, which its contract has:"
            f" ALTER TABLE {table.fullname} {additions}"
        )
