"""What goes wrong with the warehouse or with Spark, in our words: who must act, and no value of a row."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from py4j.java_gateway import is_instance_of
from py4j.protocol import Py4JJavaError
from pyspark import SparkContext
from pyspark.errors import AnalysisException
from sqlalchemy.exc import DBAPIError

from totesys.errors import BadDataError, FatalError, PipelineError, RetriableError
from totesys.secrets import Credentials

# What a server says when it refuses a connection that it may accept later; every other refusal needs a person.
_PASSING = re.compile(r"starting up|shutting down|recovery mode|too many (clients|connections)|connection slots|terminating connection")


@contextmanager
def warehouse_errors(credentials: Credentials) -> Iterator[None]:
    """Turns a database error into the pipeline's own, which says who must act and holds no value of a row."""
    try:
        yield
    except DBAPIError as error:
        cause = error.orig
        state = getattr(cause, "pgcode", None)
        if state is None:
            raise _connection_error(str(cause), credentials) from error
        raise statement_error(state, cause.diag.message_primary or "", credentials) from error  # type: ignore[union-attr]


def _connection_error(message: str, credentials: Credentials) -> PipelineError:
    """The error of a connection that could not be made, or broke: libpq has nothing but a text for it."""
    reason = " ".join(message.split())
    if ("FATAL:" in reason and not _PASSING.search(reason)) or "SSL" in reason:
        return FatalError(f"warehouse {credentials.place} refuses user {credentials.username} ({reason}): put the warehouse's secret right")
    return RetriableError(f"warehouse {credentials.place} cannot be reached ({reason}): start it, or open the way to it")


def statement_error(state: str, message: str, credentials: Credentials) -> PipelineError:
    """The error of a statement by its SQLSTATE. `message` is the server's primary message; it is repeated only where it holds no value."""
    place = f"warehouse {credentials.place}"
    if state.startswith(("42501", "28")):
        return FatalError(f"{place} forbids user {credentials.username} what the load does ({message}): grant it")
    if state.startswith("23"):
        return BadDataError(f"{place} refuses a row that breaks a rule of its tables ({message}); nothing was loaded")
    if state.startswith("22"):
        return BadDataError(
            f"{place} cannot hold a value of the lake (SQLSTATE {state}): compare the contract with the warehouse's columns"
        )
    if state == "42P16":  # of all that the load does, only a view can answer this
        return FatalError(f"{place} cannot replace a view of the load's ({message}): drop the view, the next run makes it")
    if state.startswith(("08", "53", "55P03", "57", "58", "40")):
        return RetriableError(f"{place} broke off ({message}); nothing was loaded, the next run tries again")
    return FatalError(f"{place} refuses a statement of the load ({message}, SQLSTATE {state}); nothing was loaded")


@contextmanager
def spark_errors(credentials: Credentials) -> Iterator[None]:
    """Turns what Spark fails with into the pipeline's own errors, where we know what it means; the rest goes on as it is."""
    try:
        yield
    except AnalysisException as error:
        if error.getErrorClass() != "PATH_NOT_FOUND":
            raise
        path = (error.getMessageParameters() or {}).get("path", "an address of the manifest")
        raise BadDataError(f"{path} has no files, but the newest publish names it: restore the objects") from error
    except Py4JJavaError as error:
        for cause in _causes(error.java_exception):
            if _is(cause, "java.sql.SQLException"):
                state, message = cause.getSQLState() or "", (cause.getMessage() or "").partition("\n")[0]
                raise statement_error(state, message, credentials) from error
            if _is(cause, "org.apache.spark.sql.execution.datasources.SchemaColumnConvertNotSupportedException"):
                raise BadDataError(
                    f"column {cause.getColumn()} of a lake file is {cause.getPhysicalType()}, its contract says {cause.getLogicalType()}:"
                    " publish the table again with the contract's types"
                ) from error
        raise


def _causes(exception: Any) -> Iterator[Any]:
    while exception is not None:
        yield exception
        exception = exception.getCause()


def _is(exception: Any, name: str) -> bool:
    return bool(is_instance_of(SparkContext._gateway, exception, name))
