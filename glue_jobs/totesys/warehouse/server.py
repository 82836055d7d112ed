"""Open sessions at the warehouse's server, and prepare its tables and views."""

from __future__ import annotations

from collections.abc import Collection

import psycopg2
from sqlalchemy import Connection, Engine, NullPool, Table, create_engine, inspect, select, text
from sqlalchemy.schema import AddConstraint, CreateColumn, CreateSchema, SetColumnComment

from totesys.contracts import Contract
from totesys.errors import FatalError
from totesys.lake import formats
from totesys.runtime.secrets import Credentials
from totesys.warehouse import session
from totesys.warehouse.columns import live_columns, refuse_other_columns, widen_columns
from totesys.warehouse.models import ETL_SCHEMA, PUBLIC_SCHEMA, etl_tables, format_table, ledger_table, warehouse_tables
from totesys.warehouse.views import prepare_views

_PREPARING = 0x746F7465  # advisory lock: two loads that find an empty warehouse at the same moment


def warehouse_engine(credentials: Credentials, session_name: str) -> Engine:
    """Return an engine whose sessions have a name, which shows other loads that their owner is alive. Error messages hide parameters."""

    def connect() -> psycopg2.extensions.connection:
        connection: psycopg2.extensions.connection = psycopg2.connect(
            **credentials.libpq(), application_name=session_name, options=session.options(session.SESSION), client_encoding="UTF8",
            keepalives_idle=60, keepalives_interval=15, keepalives_count=4,
        )  # fmt: skip
        session.settle(connection)
        return connection

    return create_engine("postgresql+psycopg2://", creator=connect, poolclass=NullPool, hide_parameters=True)


def prepare_warehouse(connection: Connection, warehouse: dict[str, Contract]) -> list[str]:
    """Create the missing tables, with keys and foreign keys, and the views. Return the names of what was created or changed.

    An existing table gets the columns that it lacks, and columns that are narrower than their contract are widened. BadDataError when a
    column cannot be added, or its type can be neither kept nor widened. FatalError, before any change, when the database is not UTF-8, or
    schema etl has no format or a newer format than this code knows.
    """
    with connection.begin():
        _refuse_other_encodings(connection)
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _PREPARING})
        _refuse_other_format(connection)
        if not inspect(connection).has_schema(ETL_SCHEMA):
            connection.execute(CreateSchema(ETL_SCHEMA))
        stars = warehouse_tables(warehouse)
        tables = [*stars.values(), *etl_tables(warehouse)]
        live = live_columns(connection)
        existing = {table: live[str(table.schema), table.name] for table in tables if (table.schema, table.name) in live}
        missing = [table for table in tables if table not in existing]
        for table, columns in existing.items():
            refuse_other_columns(connection, table, columns)
        views = {fact: f"{PUBLIC_SCHEMA}.{warehouse[fact.name].current_view}" for fact in stars.values() if warehouse[fact.name].version_of}
        widened = [widen_columns(connection, table, columns, views.get(table)) for table, columns in existing.items()]
        for table in missing:
            table.create(connection, checkfirst=False)
        if format_table() in missing:
            connection.execute(format_table().insert().values(format=formats.WAREHOUSE))
        added = [name for table, columns in existing.items() for name in _add_columns(connection, table, columns)]
        held = {table: list(dict.fromkeys([*existing.get(table, ()), *table.columns.keys()])) for table in stars.values()}
        made = prepare_views(connection, warehouse, held)
        for grant in (grant for one in widened for grant in one.grants):
            connection.execute(text(grant))
        return [*(table.name for table in missing), *(name for one in widened for name in one.names), *added, *made]


def _refuse_other_encodings(connection: Connection) -> None:
    encoding = connection.scalar(text("SHOW server_encoding"))
    if encoding != "UTF8":
        raise FatalError(
            f"the warehouse {connection.scalar(text('SELECT current_database()'))} has the encoding {encoding}, which lacks characters that"
            " the lake may contain. Nothing was loaded. Recreate the database with ENCODING 'UTF8'; the next tick fills it"
        )


def _refuse_other_format(connection: Connection) -> None:
    present = inspect(connection).get_table_names(schema=ETL_SCHEMA)
    found = connection.scalars(select(format_table().c.format)).all() if format_table().name in present else []
    formats.refuse_newer("schema etl of the warehouse", max(found, default=0), formats.WAREHOUSE)
    if ledger_table().name in present and len(found) != 1:
        raise FatalError(
            "schema etl of the warehouse does not say its format in one row of etl.format: it is damaged, or a release before 0.2.0 made"
            " it. Nothing was loaded",
            "restore etl.format from a backup; or drop schema etl and the pipeline's tables in schema public, and the next tick fills"
            " the warehouse from the lake",
        )


def _add_columns(connection: Connection, table: Table, existing: Collection[str]) -> list[str]:
    """Add the columns that a table lacks, with their comments and foreign keys. Return their names."""
    lacking = [column for column in table.columns if column.name not in existing]
    for column in lacking:
        definition = str(CreateColumn(column).compile(connection)).strip()
        connection.execute(text(f"ALTER TABLE {table.fullname} ADD COLUMN {definition}"))
        connection.execute(SetColumnComment(column))
        for key in table.foreign_key_constraints:
            if column in key.columns.values():
                connection.execute(AddConstraint(key))
    return [f"{table.fullname}.{column.name}" for column in lacking]
