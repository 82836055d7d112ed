"""Settings of the load's sessions. They override the settings of the role, the database and the server.

Without them, a timeout of the role or the server could end every load, and other settings would change what a statement means.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from psycopg2.extensions import connection as Connection

from totesys.errors import FatalError

# Spark works between our transactions, never within one: a session that is idle in a transaction is a dead load that locks the ledger.
# With keepalives, each end notices within two minutes when its peer is gone, and a long idle connection survives NAT.
# With row_security off, a policy raises an error instead of hiding rows.
SESSION = {
    "TimeZone": "UTC",
    "DateStyle": "ISO",
    "quote_all_identifiers": "off",  # it would quote the names of types too
    "search_path": "public",
    "row_security": "off",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "lock_timeout": "5min",
    "statement_timeout": "1h",
    "idle_in_transaction_session_timeout": "2min",
    "tcp_keepalives_idle": "60",
    "tcp_keepalives_interval": "15",
    "tcp_keepalives_count": "4",
}

# Limits that only newer servers know; 0 means no limit. The load's session is idle while Spark works, so these limits would end it.
_NEWER = {"idle_session_timeout": "0", "transaction_timeout": "0"}  # PostgreSQL 14 and 17

_WRITERS = {"idle_in_transaction_session_timeout": "15min"}  # a writer is idle while its task waits for the lake

_KNOWN = "SELECT name FROM pg_settings WHERE name = ANY(%s)"
_TRIGGERS = "SELECT current_setting('session_replication_role'), (SELECT rolsuper FROM pg_roles WHERE rolname = current_user), current_user"


def options(settings: Mapping[str, str]) -> str:
    """Return the settings as the connection option `options`, which both libpq and pgjdbc take."""
    return " ".join(f"-c {name}={value.replace(' ', chr(92) + ' ')}" for name, value in settings.items())


def settle(connection: Connection) -> None:
    """Set what cannot be a connection option: settings that an older server does not know, or that only a superuser may change.

    FatalError when foreign keys are not checked in the session, and the role may not change that.
    """
    with connection.cursor() as cursor:
        for name, value in _newer(connection).items():
            cursor.execute("SELECT set_config(%s, %s, false)", [name, value])
        cursor.execute(_TRIGGERS)
        replication_role, is_superuser, user = cursor.fetchone() or ("", False, "")
        if replication_role != "origin":
            if not is_superuser:
                raise FatalError(
                    f"session_replication_role is {replication_role} for user {user} of the warehouse, so foreign keys are not"
                    f" checked. Nothing was loaded. Run: ALTER ROLE {user} RESET session_replication_role. If it is set for the database,"
                    " reset it there with ALTER DATABASE"
                )
            cursor.execute("SET session_replication_role = origin")
    connection.commit()


def writer_options(connection: Connection) -> str:
    """Return the connection option for Spark's sessions, on the same server as this connection."""
    return options({**SESSION, **_WRITERS, **_newer(connection)})


def _newer(connection: Connection) -> Mapping[str, str]:
    with connection.cursor() as cursor:
        cursor.execute(_KNOWN, [list(_NEWER)])
        known: Iterable[str] = [name for (name,) in cursor.fetchall()]
    connection.commit()
    return {name: _NEWER[name] for name in known}
