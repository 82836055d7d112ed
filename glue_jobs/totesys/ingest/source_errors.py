"""PostgreSQL's errors in our words, sorted by who must act. Of the server's own text only what cannot hold a value or a secret is kept."""

from __future__ import annotations

import re

import psycopg2

from totesys.errors import BadDataError, FatalError, PipelineError, RetriableError

# A connection that fails has no SQLSTATE. These refusals do not mend themselves; others (starting up, too many clients) do.
_REFUSED = re.compile(r"authentication failed|does not exist|pg_hba\.conf|permission denied|not permitted to log in|SSL|certificate")


def connection_error(error: psycopg2.Error, place: str, username: str) -> PipelineError:
    """The error of a session that did not open."""
    # libpq writes one paragraph per address it tried: the reason of the last one says enough.
    reason = " ".join(str(error).strip().split("failed: ")[-1].split("\n")[0].split())
    if _REFUSED.search(reason):
        return FatalError(f"totesys ({place}) refused user {username} ({reason}): put the source's secret right")
    return RetriableError(f"totesys ({place}) cannot be reached ({reason}): see that it runs and that the network lets us through")


def query_error(error: psycopg2.Error, doing: str, place: str) -> PipelineError:
    """The error of a statement, by its SQLSTATE."""
    state = error.pgcode or ""
    where = f"{doing} at totesys ({place})"
    words = error.diag.message_primary or ""
    if state == "55P03":
        return RetriableError(f"{where}: somebody holds an exclusive lock; the next run tries again, or end the session that holds it")
    if state == "57014":
        return RetriableError(f"{where} took too long or was cancelled: give the job more capacity, or look for what slows the source")
    if state == "42501":
        return FatalError(f"{where} was not permitted ({words}): grant the job's role SELECT on the table and USAGE on its schema")
    if state in ("42P01", "3F000"):
        return BadDataError(f"{where}: {words}; bring the table back, or settle its contract in catalog/source")
    if state.startswith("42"):
        return FatalError(f"{where} was refused ({words}, SQLSTATE {state}): compare the table with its contract in catalog/source")
    if state.startswith("22"):
        return BadDataError(f"{where}: a value cannot be read (SQLSTATE {state}); compare the table with its contract in catalog/source")
    # None, 08: the connection broke. 25P03: idle for too long. 40: conflict with recovery on a replica. 53, 57: the server's own state.
    if not state or state == "25P03" or state[:2] in ("08", "40", "53", "57"):
        return RetriableError(f"{where}: the session broke off (SQLSTATE {state or 'none'}); the next run tries again")
    return FatalError(f"{where} failed (SQLSTATE {state}): look into the source's server log")
