"""Turn errors of the warehouse and of Spark into the pipeline's own errors (totesys.errors.postgres, totesys.errors.spark)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from py4j.protocol import Py4JJavaError
from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError

from totesys.errors.postgres import Server, keep_last_words
from totesys.errors.spark import causes, is_a, lake_errors
from totesys.runtime.secrets import Credentials

_HINTS = {
    "08001": "start it, or open the network path to it",
    "22": "nothing was loaded; compare the warehouse's columns with the contract",
    "23": "nothing was loaded; compare the table with its contract",
    "28": "correct the warehouse's secret",
    "3D": "correct the warehouse's secret",
    "42": "nothing was loaded; compare the warehouse's tables with the contracts",
    "42501": "grant the right, or run scripts/deploy.sh, which does",
    "42P16": "drop the view that the message names; the next run recreates it",  # only CREATE OR REPLACE VIEW fails like this
}


def warehouse(credentials: Credentials) -> Server:
    """Return the warehouse as errors name it."""
    return Server(f"warehouse {credentials.place}", credentials.username, _HINTS)


@contextmanager
def warehouse_errors(credentials: Credentials) -> Iterator[None]:
    """Turn a database error into the pipeline's own, which says who must act and contains no value of a row."""
    try:
        yield
    except DBAPIError as error:
        if not isinstance(error.orig, psycopg2.Error):
            raise
        raise warehouse(credentials).error(error.orig) from error


@event.listens_for(Engine, "handle_error")
def _keep_last_words(context: ExceptionContext) -> None:
    error, connection = context.original_exception, context.connection
    if isinstance(error, psycopg2.Error) and connection is not None:
        keep_last_words(error, connection.connection.dbapi_connection)  # type: ignore[arg-type]  # always psycopg2's


@contextmanager
def spark_errors(credentials: Credentials) -> Iterator[None]:
    """Turn Spark's errors at the warehouse or the lake into the pipeline's own."""
    with lake_errors():
        try:
            yield
        except Py4JJavaError as error:
            found = list(causes(error))
            # Look for an SQLException before its causes: a broken connection is caused by an IOException, which looks like a fault of S3.
            if sql := next((cause for cause in found if is_a(cause, "java.sql.SQLException")), None):
                words = next((text for text in map(_server_words, found) if text), "")
                raise warehouse(credentials).error_of(sql.getSQLState() or "", words, "Spark writes rows") from error
            raise


def _server_words(exception: Any) -> str:
    """Return the server's primary message. The driver's own text contains the statement, and with it values of rows."""
    if exception.getClass().getName() != "org.postgresql.util.PSQLException":
        return ""
    message = exception.getServerErrorMessage()
    return (message.getMessage() or "") if message is not None else (exception.getMessage() or "").partition("\n")[0]
