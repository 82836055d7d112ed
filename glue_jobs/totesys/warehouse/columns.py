"""Compare the columns of existing tables with their contracts, and change a column if no value is lost.

A contract may widen a column, or allow nulls in it. Then the load changes the table itself, since waiting for a person would stop all
tables. The load never narrows a column: a column that is wider than its contract stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import Column, Connection, Table, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateColumn

from totesys.contracts.types import widens
from totesys.errors import BadDataError, FatalError
from totesys.warehouse.live_types import COLUMNS, LiveType, holds
from totesys.warehouse.views import drop_view

_NOT_OWNER = "42501"
_IN_USE = ("0A000", "2BP01")  # a foreign view or rule reads the column

LiveColumns = Mapping[str, LiveType]


class Widened(NamedTuple):
    """The columns that were changed, and the GRANT statements that restore the rights on the view that was dropped for it."""

    names: list[str]
    grants: list[str]


def live_columns(connection: Connection) -> dict[tuple[str, str], dict[str, LiveType]]:
    """Return the columns of every table of schemas `public` and `etl`, by schema and name of the table."""
    found: dict[tuple[str, str], dict[str, LiveType]] = {}
    for schema, table, column, *parts in connection.execute(text(COLUMNS)):
        found.setdefault((schema, table), {})[column] = LiveType(*parts)
    return found


def refuse_other_columns(connection: Connection, table: Table, live: LiveColumns) -> None:
    """Raise BadDataError when a column cannot hold its contract's type, or when a missing column that allows no nulls cannot be added."""
    wanted = {column.name: _type(connection, column) for column in table.columns}
    other = [
        f"{name} is {column.type} and should be {wanted[name]}"
        for name, column in live.items()
        if name in wanted and not holds(column.type, wanted[name]) and not _is_widened(column, wanted[name])
    ]
    if other:
        raise BadDataError(
            f"warehouse table {table.fullname} does not match its contract: {', '.join(other)}. Nothing was loaded: change the type by"
            f" hand (ALTER TABLE {table.fullname} ALTER COLUMN … TYPE …), or deploy the contract again that the table was made from"
        )
    required = [column for column in table.columns if column.name not in live and not column.nullable]
    if required and (any(column.primary_key for column in required) or connection.scalar(select(select(table.c[0]).exists()))):
        additions = ", ".join(f"ADD COLUMN {str(CreateColumn(column).compile(connection)).strip()}" for column in required)
        raise BadDataError(
            f"warehouse table {table.fullname} lacks {', '.join(column.name for column in required)}, which its contract has and which must"
            " not be null. Nothing was loaded: make it nullable in catalog/warehouse, or add it by hand with a DEFAULT for existing rows"
            f": ALTER TABLE {table.fullname} {additions}"
        )


def widen_columns(connection: Connection, table: Table, live: LiveColumns, view: str | None) -> Widened:
    """Widen the columns that are narrower than their contract says, and drop NOT NULL where the contract allows nulls.

    `view` reads the table. PostgreSQL refuses to change the type of a column that a view uses. So the view is dropped first, and the
    caller recreates it. FatalError with the statement to run when the load's role may not change the table, or a foreign view reads it.
    """
    actions: dict[str, list[str]] = {}
    retyped = []
    for column in table.columns:
        found, wanted, name = live.get(column.name), _type(connection, column), _quoted(connection, column)
        if found and not holds(found.type, wanted):
            actions.setdefault(column.name, []).append(f"ALTER COLUMN {name} TYPE {wanted}")
            retyped.append(column)
        if found and found.is_not_null and column.nullable:
            actions.setdefault(column.name, []).append(f"ALTER COLUMN {name} DROP NOT NULL")
    if not actions:
        return Widened([], [])
    statement = f"ALTER TABLE {table.fullname} {', '.join(action for of_column in actions.values() for action in of_column)}"
    dropped = view if retyped else None
    try:
        grants = drop_view(connection, dropped) if dropped else []
        connection.execute(text(statement))
        for column in retyped:
            if column is table.autoincrement_column:
                _widen_sequence(connection, table, column)
    except DBAPIError as error:
        state = getattr(error.orig, "pgcode", "")
        if state != _NOT_OWNER and state not in _IN_USE:
            raise
        reason = "the load's role does not own it" if state == _NOT_OWNER else "a foreign view or rule reads it: drop that view or rule"
        statements = "; ".join([f"DROP VIEW IF EXISTS {dropped}", statement] if dropped else [statement])
        raise FatalError(
            f"warehouse table {table.fullname} must be widened to match its contract, but {reason}. Nothing was loaded: run as its"
            f" owner {statements}. The next run continues, and recreates the load's view"
        ) from error
    return Widened([f"{table.fullname}.{name}" for name in actions], grants)


def _widen_sequence(connection: Connection, table: Table, column: Column[Any]) -> None:
    of_column = text("SELECT pg_get_serial_sequence(:table, :column)")
    sequence = connection.scalar(of_column, {"table": table.fullname, "column": column.name})
    if sequence:
        connection.execute(text(f"ALTER SEQUENCE {sequence} AS {_type(connection, column)}"))


def _is_widened(live: LiveType, wanted: str) -> bool:
    # A domain is not changed, since a change of type would drop the domain's own rules.
    return widens(live.type, wanted) and not live.is_domain


def _type(connection: Connection, column: Column[Any]) -> str:
    return str(column.type.compile(connection.dialect)).lower().replace(", ", ",")


def _quoted(connection: Connection, column: Column[Any]) -> str:
    return connection.dialect.identifier_preparer.quote(column.name)
