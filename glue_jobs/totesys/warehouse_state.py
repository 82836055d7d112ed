"""How far the warehouse has come, asked of the warehouse itself: its ledger (etl.load_ledger) is the only record of that.

psycopg2 and nothing heavier: ingest asks in every tick. The timeouts are short, so that a dead warehouse holds nobody up for long.
"""

from __future__ import annotations

from contextlib import closing

import psycopg2

from totesys.errors import FatalError, PipelineError, RetriableError
from totesys.secrets import Credentials

_SECONDS = 5  # to connect, and again to answer

# The session's own settings, because a role or a database may have others.
_OPTIONS = " ".join(f"-c {name}={_SECONDS}s" for name in ("statement_timeout", "lock_timeout"))
_NEVER_LOADED = "SELECT to_regclass('etl.load_ledger') IS NULL"
_NEWEST = "SELECT through_batch_seq FROM etl.load_ledger ORDER BY load_seq DESC LIMIT 1"


def loaded_through(credentials: Credentials) -> int:
    """Return the newest batch that the warehouse holds; 0 for a warehouse that was never loaded, or has lost its ledger.

    FatalError when the warehouse refuses the question, RetriableError when it cannot be asked for another reason.
    """
    arguments = {**credentials.libpq(), "connect_timeout": _SECONDS, "tcp_user_timeout": _SECONDS * 1000}
    try:
        with closing(psycopg2.connect(**arguments, options=_OPTIONS, application_name="totesys-state")) as connection:
            connection.set_session(readonly=True, autocommit=True)
            with connection.cursor() as cursor:
                cursor.execute(_NEVER_LOADED)
                if cursor.fetchone()[0]:
                    return 0
                cursor.execute(_NEWEST)
                row = cursor.fetchone()
                return int(row[0]) if row else 0
    except psycopg2.Error as error:
        raise _cannot_be_asked(error, credentials) from error


def _cannot_be_asked(error: psycopg2.Error, credentials: Credentials) -> PipelineError:
    """The error in one line. Nothing that the server says to these questions has a value of a row in it."""
    reason = " ".join((error.diag.message_primary or str(error)).split())
    place = f"warehouse {credentials.place} cannot be asked how far it is loaded: {reason}"
    if error.pgcode == "42501":
        return FatalError(f"{place}. Run scripts/deploy.sh with TOTESYS_WAREHOUSE_URL: it gives user {credentials.username} its rights")
    return RetriableError(f"{place}. Start the warehouse or open the way to it, and see that its secret is right")
