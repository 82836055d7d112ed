"""Connections to the two databases with the credentials that the pipeline itself uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from totesys.errors import FatalError, RetriableError
from totesys.secrets import Credentials

_HINTS = {"source": "does its secret name totesys?", "warehouse": "has scripts/run.sh run?"}


@contextmanager
def snapshot(credentials: Credentials, name: str) -> Iterator[Any]:
    """A connection in a read-only transaction that sees one moment. RetriableError: unreachable; FatalError: it refused a query."""
    with session_with(credentials, name) as connection:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        yield connection


@contextmanager
def session_with(credentials: Credentials, name: str) -> Iterator[Any]:
    """A connection whose times are UTC, and whose errors are the pipeline's own and name the database."""
    try:
        connection = psycopg2.connect(**credentials.libpq(), application_name="totesys operations", options="-c TimeZone=UTC")
    except psycopg2.OperationalError as error:
        raise RetriableError(f"{name} {credentials.place} cannot be reached: {' '.join(str(error).split())}") from error
    try:
        yield connection
    except psycopg2.Error as error:
        if error.cursor is not None and error.cursor.connection is not connection:
            raise  # it is the other database's
        if error.pgcode is None:
            raise RetriableError(f"{name} {credentials.place} broke off: {' '.join(str(error).split())}") from error
        hint = _HINTS[name] if isinstance(error, psycopg2.errors.UndefinedTable) else "check the rights of its role"
        raise FatalError(f"{name} {credentials.place} could not be read ({error.diag.message_primary}): {hint}") from error
    finally:
        connection.close()
