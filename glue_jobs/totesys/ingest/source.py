"""Run SQL at totesys, in one read-only session with one snapshot. No other module does. The server may be a replica.

The order matters: the locks come before the first query, because that query takes the snapshot. A rewrite or TRUNCATE that commits
between snapshot and lock would make the table look empty.

Positions in the server's write-ahead log (LSN) are compared only within one timeline, where they only grow.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, Any

import psycopg2
from psycopg2 import sql

from totesys.contracts import RAW_LINEAGE, Contract
from totesys.errors import PipelineError, RetriableError
from totesys.errors.postgres import Server
from totesys.ingest.drift import LiveColumn, LiveTable
from totesys.ingest.readable import as_json, selected
from totesys.lake.manifests import SourceIdentity
from totesys.runtime.secrets import Credentials

SCHEMA = "public"
SNAPSHOT_SECONDS = 20 * 60  # a longer snapshot would keep the source from vacuuming, and break the promise of freshness
LOCK_SECONDS = 10  # our lock request queues behind an exclusive lock, and later requests queue behind ours: so it waits only briefly

# All settings that change how PostgreSQL writes a value as text. Reconcile uses the same settings.
TEXT_SETTINGS = {
    "TimeZone": "UTC",
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",  # the shortest text that still reads as the same number
    "lc_monetary": "C",
}
# Session options override the settings of the role and the database. With row_security off, a policy raises an error instead of hiding
# rows. A session that is idle in a transaction belongs to a job that died without closing its socket.
_OPTIONS = {
    "default_transaction_isolation": "repeatable\\ read",
    "default_transaction_read_only": "on",
    **TEXT_SETTINGS,
    "quote_all_identifiers": "off",  # it would quote the names of types too
    "row_security": "off",
    "search_path": SCHEMA,
    "lock_timeout": f"{LOCK_SECONDS}s",
    "statement_timeout": f"{SNAPSHOT_SECONDS}s",
    "idle_in_transaction_session_timeout": "5min",
}
# Only the limits above apply to our session. These two came with PostgreSQL 14 and 17; an older server would refuse them as options.
LIFT_LIMITS = "SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ('idle_session_timeout', 'transaction_timeout')"
_HINTS = {
    "0A": "if this is a replica, run ALTER TABLE … SET LOGGED at the primary, or name the primary in the secret",
    "22": "compare the table with its contract in catalog/source",
    "28": "correct the source's secret",
    "3D": "correct the source's secret",
    "42": "compare the table with its contract in catalog/source",
    "42P01": "restore the table, or settle its contract in catalog/source",
    "42501": "grant user {user} SELECT on the table and USAGE on its schema",
    "57014": "give the job more capacity, or look for what slows the source",
    "55P03": "the next run tries again, or end the session that holds the lock",
    "XX001": "restore the damaged data at the source, or delete the row that cannot be read; the server log says where",
}
_SAVEPOINT = sql.SQL("SAVEPOINT of_table")
_COPY_CHUNK = 1 << 18
_ROWS_AT_ONCE = 2_000

_POSITION = "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END - '0/0'::pg_lsn"

# A server that was just promoted writes the new timeline to its log before its control file. On a replica, only that file can be asked.
_SNAPSHOT = f"""
SELECT pg_current_snapshot()::text, statement_timestamp(), {_POSITION}, system_identifier::text,
       CASE WHEN pg_is_in_recovery() THEN greatest(timeline_id, min_recovery_end_timeline)
            ELSE ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int END,
       d.oid::bigint
FROM pg_control_system(), pg_control_checkpoint(), pg_control_recovery(), pg_database AS d
WHERE d.datname = current_database()
"""  # nosec B608

# A replica replays only what is on disk at its primary.
_DURABLE = """
SELECT CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_flush_lsn() - '0/0'::pg_lsn END,
       extract(epoch FROM current_setting('wal_writer_delay')::interval)
"""
_WRITER_ROUNDS = 3  # PostgreSQL promises that an asynchronous commit or a rollback is on disk within this many wal_writer_delay

# The first indnkeyatts columns of an index are its key; the columns of INCLUDE follow. `parts` are all other tables whose rows a SELECT
# from the table returns: its partitions at any depth, and the tables that inherit from it.
_STRUCTURE = """
WITH RECURSIVE tables AS MATERIALIZED (
    SELECT c.oid, c.relname, c.relkind, CASE WHEN c.relkind IN ('r', 'p') THEN row_security_active(c.oid) ELSE false END AS hides_rows,
           has_table_privilege(c.oid, 'SELECT') AS is_readable, c.relname <> ALL (%s::name[]) AS is_locked,
           ARRAY(SELECT a.attname::text FROM pg_index AS i CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k (attnum, place)
                 JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
                 WHERE i.indrelid = c.oid AND i.indisprimary AND k.place <= i.indnkeyatts ORDER BY k.place) AS key
    FROM pg_class AS c
    WHERE c.relnamespace = to_regnamespace(%s) AND c.relname = ANY (%s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
), part (root, oid) AS (
    SELECT t.oid, i.inhrelid FROM tables AS t JOIN pg_inherits AS i ON i.inhparent = t.oid
    UNION
    SELECT p.root, i.inhrelid FROM part AS p JOIN pg_inherits AS i ON i.inhparent = p.oid
), parts AS MATERIALIZED (
    SELECT p.root, array_agg(p.oid::bigint ORDER BY p.oid) AS oids, bool_or(c.relkind = 'f') AS is_foreign
    FROM part AS p JOIN pg_class AS c USING (oid) GROUP BY p.root
)
SELECT c.relname, c.oid::bigint, c.relkind::text, c.hides_rows, c.key, c.is_readable,
       coalesce(p.oids, '{}'), coalesce(p.is_foreign, false),
       a.attname, a.attnum, format_type(a.atttypid, a.atttypmod), a.atttypid::bigint, a.attnotnull,
       ARRAY(SELECT e.enumlabel::text FROM pg_enum AS e WHERE e.enumtypid IN (y.oid, y.typbasetype) ORDER BY e.enumsortorder),
       (SELECT json_object_agg(e.oid, e.enumlabel) FROM pg_enum AS e WHERE e.enumtypid IN (y.oid, y.typbasetype, y.typelem)),
       CASE WHEN a.attgenerated = '' AND c.is_locked THEN pg_get_expr(d.adbin, d.adrelid) END,
       CASE WHEN a.attgenerated = 'v' AND c.is_locked THEN pg_get_expr(d.adbin, d.adrelid) END,
       has_column_privilege(c.oid, a.attnum, 'SELECT')
FROM tables AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type AS y ON y.oid = a.atttypid
LEFT JOIN parts AS p ON p.root = c.oid
LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
ORDER BY c.oid, a.attnum
"""

# Row versions that were unfinished or newer at the transaction `since`. age() counts back from the next transaction id. It ignores
# wraparounds of the 32-bit counter. So a row that was frozen several wraparounds ago may look new; reading it again changes nothing. A new
# row never looks old, since a delta never spans half of the counter.
_CANDIDATE = sql.SQL("age(t.xmin) BETWEEN 0 AND age({since}::xid)")


@dataclass(frozen=True)
class Snapshot:
    """The state of the source that a batch reads. Transactions below `xmin` are finished; those from `xmax` on are not visible.

    Transaction ids have 64 bits here.

    taken_at    UTC time, ISO 8601, not after the snapshot: all that had committed by then (or had reached the replica) is in the snapshot
    lsn_before  all that committed up to this position of the server's log is in the snapshot
    lsn_after   nothing that committed after this position is in the snapshot
    """

    text: str
    taken_at: str
    identity: SourceIdentity
    lsn_before: int
    lsn_after: int

    @property
    def date(self) -> str:
        """Return the UTC day of the snapshot, as in the manifest's ingest_date."""
        return self.taken_at[:10]

    @property
    def xmin(self) -> int:
        return int(self.text.split(":")[0])

    @property
    def xmax(self) -> int:
        return int(self.text.split(":")[1])


class TableError(PipelineError):
    """One table could not be locked, counted or read. The session still works, so the batch goes on with the next table."""


@dataclass(frozen=True)
class Counted:
    """How many rows a table holds, and how many of their versions were unfinished or newer at an earlier snapshot."""

    rows: int
    candidates: int


@dataclass
class Source:
    """A session with an open transaction. `lsn` is the position of the server's log before the transaction.

    Every method raises RetriableError once the snapshot has been held for too long.
    """

    connection: Any
    place: str
    lsn: int
    deadline: float = field(default_factory=lambda: time.monotonic() + SNAPSHOT_SECONDS)

    def lock(self, table: str) -> None:
        """Lock a table's structure until the session ends (ACCESS SHARE). TableError when it cannot be locked."""
        with self._savepoint(f"locking {table}"):
            self._execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(_table(table)), f"locking {table}")

    def snapshot(self) -> Snapshot:
        """Take the snapshot. This must be the session's first query after the locks."""
        text, taken_at, lsn, system_identifier, timeline, database_oid = self._execute(_SNAPSHOT, "taking the snapshot")[0]
        identity = SourceIdentity(system_identifier, timeline, database_oid)
        return Snapshot(text, taken_at.isoformat(timespec="microseconds"), identity, self.lsn, int(lsn))

    def durable_lsn(self, snapshot: Snapshot) -> int:
        """Wait until everything that the snapshot saw is on disk, so that a crash of the server cannot undo it. Return the log position.

        A rollback, and a commit with synchronous_commit off, is visible before it is on disk. If a crash lost it, the server would use its
        transaction id again, for rows that no delta would read. What is not on disk after the wait belongs to open transactions.
        """
        started = time.monotonic()
        while True:
            waited = time.monotonic() - started
            flushed, writer_delay = self._execute(_DURABLE, "asking what is on disk")[0]
            if flushed is None or flushed >= snapshot.lsn_after:
                return snapshot.lsn_after
            if waited > _WRITER_ROUNDS * writer_delay:
                return int(flushed)
            time.sleep(float(writer_delay) / 4)

    def structure(self, tables: Sequence[str], unlocked: Collection[str] = ()) -> dict[str, LiveTable]:
        """Return the named tables that exist.

        For a table in `unlocked`, column defaults and expressions are left out: that query would wait for the same lock again.
        """
        found: dict[str, LiveTable] = {}
        columns: dict[str, dict[str, LiveColumn]] = {}
        rows = self._execute(_STRUCTURE, "reading the tables' structure", (list(unlocked), SCHEMA, list(tables)))
        for table, oid, kind, hides_rows, key, is_readable, parts, has_foreign_part, name, *column in rows:
            number, type_, type_oid, not_null, labels, label_texts, default, expression, is_column_readable = column
            of_table = columns.setdefault(table, {})
            of_table[name] = LiveColumn(
                number, type_, not_null, tuple(labels), default, is_column_readable, type_oid, label_texts or {}, expression
            )
            found[table] = LiveTable(oid, kind, hides_rows, of_table, tuple(key), is_readable, tuple(parts), has_foreign_part)
        return found

    def count(self, since: Mapping[str, int]) -> tuple[dict[str, Counted], dict[str, TableError]]:
        """Return the rows and candidates of each table, and the tables that cannot be counted. `since`: where each table's delta starts.

        One statement counts all tables, with one scan per table. If it fails, the tables are counted one by one.
        """
        if not since:
            return {}, {}
        try:
            return self._count(since), {}
        except TableError as error:
            if len(since) == 1:
                return {}, dict.fromkeys(since, error)
        each = [self.count({table: xmin}) for table, xmin in since.items()]
        return {table: one for counted, _ in each for table, one in counted.items()}, {
            table: error for _, failed in each for table, error in failed.items()
        }

    def _count(self, since: Mapping[str, int]) -> dict[str, Counted]:
        parts = [
            sql.SQL("SELECT {}, count(*), count(*) FILTER (WHERE {}) FROM {} AS t").format(
                sql.Literal(table), _candidate(xmin), _table(table)
            )
            for table, xmin in since.items()
        ]
        doing = f"counting {', '.join(since) if len(since) == 1 else 'rows and changes'}"
        statement = sql.SQL("{}; {}").format(_SAVEPOINT, sql.SQL(" UNION ALL ").join(parts))
        with self._undone(doing):
            return {table: Counted(count, candidates) for table, count, candidates in self._execute(statement, doing)}

    def copy(self, contract: Contract, live: LiveTable, batch_seq: int, since: int | None, sink: IO[bytes]) -> None:
        """Write a table into `sink` in COPY's text format: all rows, or the candidates since `since`.

        The columns are the contract's and `unreadable` (totesys.ingest.readable), then the raw lineage. TableError when the table cannot
        be read.
        """
        query = sql.SQL("COPY (SELECT {}, {} AS {}, t.xmin AS {} FROM {} AS t WHERE {}) TO STDOUT")
        statement = query.format(
            sql.SQL(", ").join(selected(contract, live)),
            sql.Literal(batch_seq),
            *(sql.Identifier(column.name) for column in RAW_LINEAGE),
            _table(contract.table),
            _offered(since),
        )
        doing = f"reading {contract.table}"
        with self._savepoint(doing), _explained(doing, self.place), self.connection.cursor() as cursor:
            self._limit()
            cursor.copy_expert(statement, sink, size=_COPY_CHUNK)

    def whole_rows(self, contract: Contract, live: LiveTable, since: int | None) -> Iterator[tuple[str | None, int, str]]:
        """Yield a table's rows as the source has them, without its contract: key, transaction, JSON text.

        Yields all rows, or the candidates since `since`. TableError when they cannot be read.
        """
        doing = f"reading {contract.table} as it is"
        statement = sql.SQL("{} WHERE {}").format(as_json(_table(contract.table), contract.key, live), _offered(since))
        with self._savepoint(doing), _explained(doing, self.place), self.connection.cursor("whole_rows") as cursor:
            self._limit()
            cursor.itersize = _ROWS_AT_ONCE
            cursor.execute(statement)
            yield from cursor

    @contextmanager
    def _savepoint(self, doing: str) -> Iterator[None]:
        """Set a savepoint around work on one table, so that a failure is a TableError and does not end the session."""
        self._execute(_SAVEPOINT, f"before {doing}")
        with self._undone(doing):
            yield

    @contextmanager
    def _undone(self, doing: str) -> Iterator[None]:
        """Roll back to the savepoint after a failure, and raise TableError.

        If the rollback fails too, the session is lost or out of time. Then the first error is raised unchanged, and ends the run.
        """
        try:
            yield
        except PipelineError as error:
            try:
                self._execute("ROLLBACK TO SAVEPOINT of_table", f"after failing at {doing}")
            except PipelineError:
                raise error from None  # the first error says more
            raise TableError(error.reason, error.cure) from None
        except Exception:
            with suppress(PipelineError):
                self._execute("ROLLBACK TO SAVEPOINT of_table", f"after failing at {doing}")
            raise

    def _limit(self) -> None:
        remaining = max(1, int((self.deadline - time.monotonic()) * 1000))
        self._execute("SELECT set_config('statement_timeout', %s, true)", "setting the time limit", (str(remaining),))

    def _execute(self, statement: str | sql.Composable, doing: str, values: Sequence[Any] = ()) -> list[Any]:
        if time.monotonic() > self.deadline:
            raise RetriableError(
                f"the snapshot of {self.place} was held for {SNAPSHOT_SECONDS} s. The job gave it up while {doing}: "
                "give the ingest job more capacity (MaxCapacity), or look for what slows the source"
            )
        with _explained(doing, self.place), self.connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []


@contextmanager
def open_source(credentials: Credentials) -> Iterator[Source]:
    """Open a session at totesys for one batch. At the end its transaction is rolled back and the session is closed."""
    try:
        connection = psycopg2.connect(
            **credentials.libpq(),
            application_name="totesys-ingest",
            client_encoding="UTF8",
            options=" ".join(f"-c {name}={value}" for name, value in _OPTIONS.items()),
            keepalives_idle=30,
            keepalives_interval=10,
            keepalives_count=3,
        )
    except psycopg2.Error as error:
        raise _server(credentials.place, credentials.username).error(error) from None
    try:
        yield Source(connection, credentials.place, _log_position(connection, credentials.place))
    finally:
        connection.close()


def _log_position(connection: Any, place: str) -> int:
    """Return the position of the server's log. A separate transaction asks, since the batch's transaction must not have a snapshot yet."""
    with _explained("asking for the log's position", place), connection, connection.cursor() as cursor:
        cursor.execute(LIFT_LIMITS)
        cursor.execute(f"SELECT {_POSITION}")
        return int(cursor.fetchone()[0])


@contextmanager
def _explained(doing: str, place: str) -> Iterator[None]:
    try:
        yield
    except psycopg2.Error as error:
        # The server's message can contain values of rows. It must not reach a log, not even in a traceback.
        raise _server(place, error.cursor.connection.info.user if error.cursor else "of the job").error(error, doing) from None


def _server(place: str, user: str) -> Server:
    return Server(f"totesys ({place})", user, _HINTS)


def _table(table: str) -> sql.Composable:
    return sql.Identifier(SCHEMA, table)


def _offered(since: int | None) -> sql.Composable:
    return sql.SQL("true") if since is None else _candidate(since)


def _candidate(xmin: int) -> sql.Composable:
    return _CANDIDATE.format(since=sql.Literal(str(xmin & 0xFFFFFFFF)))
