"""Ask the warehouse how far it is loaded: its ledger (etl.load_ledger) is the only record of that.

This module needs only psycopg2, since ingest asks in every tick. The timeouts are short, so that a dead warehouse delays ingest briefly.
"""

from __future__ import annotations

from contextlib import closing
from typing import Any

import psycopg2

from totesys.errors.postgres import Server
from totesys.lake.formats import WAREHOUSE, refuse_newer
from totesys.runtime.secrets import Credentials

_SECONDS = 5  # to connect, and again to answer

# These override the settings of the role and the database. With row_security off, a policy raises an error instead of hiding rows.
_OPTIONS = f"-c statement_timeout={_SECONDS}s -c lock_timeout={_SECONDS}s -c row_security=off"
_HINTS = {"42501": "run scripts/deploy.sh with TOTESYS_WAREHOUSE_URL: it gives user {user} its rights"}
_HAS_FORMAT = "SELECT to_regclass('etl.format') IS NOT NULL"
_FORMAT = "SELECT coalesce(max(format), 0) FROM etl.format"
_NEVER_LOADED = "SELECT to_regclass('etl.load_ledger') IS NULL"
_NEWEST = "SELECT through_batch_seq FROM etl.load_ledger ORDER BY load_seq DESC LIMIT 1"


def loaded_through(credentials: Credentials) -> int:
    """Return the newest batch that the warehouse holds; 0 for a warehouse that was never loaded or has lost its ledger.

    FatalError when the warehouse refuses the query, or a newer version of the pipeline made its tables. RetriableError for any other
    failure.
    """
    arguments = {**credentials.libpq(), "connect_timeout": _SECONDS, "tcp_user_timeout": _SECONDS * 1000}
    try:
        with closing(psycopg2.connect(**arguments, options=_OPTIONS, application_name="totesys-state")) as connection:
            connection.set_session(readonly=True, autocommit=True)
            with connection.cursor() as cursor:
                cursor.execute(_NEVER_LOADED)
                if cursor.fetchone()[0]:
                    return 0
                refuse_newer_warehouse(cursor)
                cursor.execute(_NEWEST)
                row = cursor.fetchone()
                return int(row[0]) if row else 0
    except psycopg2.Error as error:
        server = Server(f"warehouse {credentials.place}", credentials.username, _HINTS)
        raise server.error(error, "reading its ledger") from error


def refuse_newer_warehouse(cursor: Any) -> None:
    """Raise FatalError when the tables of schema etl have a newer format than this code knows. `cursor` is psycopg2's."""
    cursor.execute(_HAS_FORMAT)
    if cursor.fetchone()[0]:
        cursor.execute(_FORMAT)
        refuse_newer("schema etl of the warehouse", cursor.fetchone()[0], WAREHOUSE)
