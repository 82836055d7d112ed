"""Connections to the two databases, with the pipeline's credentials."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from totesys.errors.postgres import Server
from totesys.ingest.source import LIFT_LIMITS, TEXT_SETTINGS
from totesys.runtime.secrets import Credentials

_ABSENT = {"source": "let its secret name totesys", "warehouse": "run scripts/totesys run first"}
# Settings of the role or the database must not change the comparison, and must not keep its result from being recorded.
_OPTIONS = " ".join(f"-c {name}={value}" for name, value in {**TEXT_SETTINGS, "default_transaction_read_only": "off"}.items())


@contextmanager
def snapshot(credentials: Credentials, name: str) -> Iterator[Any]:
    """Yield a connection in a read-only transaction with one snapshot. Its errors are PipelineErrors, sorted by who must act."""
    with session_with(credentials, name) as connection:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        yield connection


@contextmanager
def session_with(credentials: Credentials, name: str) -> Iterator[Any]:
    """Yield a connection with ingest's settings for texts of values. Its errors are PipelineErrors that name the database."""
    hints = {"40": "try again", "42P01": _ABSENT[name], "3F": _ABSENT[name], "42501": "check the rights of its role", "57": "try again"}
    server = Server(f"{name} {credentials.place}", credentials.username, hints)
    try:
        connection = psycopg2.connect(
            **credentials.libpq(), application_name="totesys operations", client_encoding="UTF8", options=_OPTIONS
        )
        with connection, connection.cursor() as cursor:
            cursor.execute(LIFT_LIMITS)
    except psycopg2.Error as error:
        raise server.error(error) from error
    try:
        yield connection
    except psycopg2.Error as error:
        if error.cursor is not None and error.cursor.connection is not connection:
            raise  # an error of the other database
        raise server.error(error) from error
    finally:
        connection.close()
