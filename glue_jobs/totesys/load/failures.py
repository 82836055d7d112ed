"""What goes wrong with the warehouse or with Spark, in our words: who must act, and no value of a row."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from py4j.protocol import Py4JJavaError
from sqlalchemy.exc import DBAPIError

from totesys.errors import BadDataError, FatalError, PipelineError, RetriableError
from totesys.lake_errors import causes, is_a, lake_errors
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
    """Turns what Spark fails with into the pipeline's own errors, whether it is the warehouse's or the lake's."""
    with lake_errors():
        try:
            yield
        except Py4JJavaError as error:
            for cause in causes(error):
                if is_a(cause, "java.sql.SQLException"):  # before what caused it in turn: a broken connection is an IOException too
                    state, message = cause.getSQLState() or "", (cause.getMessage() or "").partition("\n")[0]
                    raise statement_error(state, message, credentials) from error
            raise
