"""The only module that speaks SQL to totesys: one read-only session, one snapshot. The server may be a replica.

Order problems: locks come before the first query, because that query takes the snapshot. A rewrite or TRUNCATE that committed between
snapshot and lock would read as an empty table.

Positions in the server's write-ahead log (LSN) are compared within one timeline, where they only grow.
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
SNAPSHOT_SECONDS = 20 * 60  # a snapshot held for longer keeps the source from cleaning up, and breaks the promise of freshness
LOCK_SECONDS = 10  # whoever asks for an exclusive lock queues behind us, and everybody else behind them: so we queue only briefly

# Every setting that changes how PostgreSQL writes a value as text. Reconcile uses the same settings.
TEXT_SETTINGS = {
    "TimeZone": "UTC",
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",  # the shortest text that still reads as the same number
    "lc_monetary": "C",
}
# Options of the session beat what is set for the role or the database. With row_security off a policy raises an error instead of
# hiding rows. An idle session in a transaction is one whose job has died without closing its socket.
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
# Our limits are the ones above. These are new in PostgreSQL 14 and 17: an older server would refuse them as options.
LIFT_LIMITS = "SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ('idle_session_timeout', 'transaction_timeout')"
_HINTS = {
    "0A": "on a replica, ALTER TABLE … SET LOGGED at the primary makes a table readable; or let the secret name the primary",
    "22": "compare the table with its contract in catalog/source",
    "28": "put the source's secret right",
    "3D": "put the source's secret right",
    "42": "compare the table with its contract in catalog/source",
    "42P01": "bring the table back, or settle its contract in catalog/source",
    "42501": "grant user {user} SELECT on the table and USAGE on its schema",
    "57014": "give the job more capacity, or look for what slows the source",
    "55P03": "the next run tries again, or end the session that holds the lock",
    "XX001": "restore what is damaged at the source, or delete the row that cannot be read; its server log says where",
}
_SAVEPOINT = sql.SQL("SAVEPOINT of_table")
_COPY_CHUNK = 1 << 18
_ROWS_AT_ONCE = 2_000

_POSITION = "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END - '0/0'::pg_lsn"

# A server that was just promoted writes the new timeline before its control file has it. Of a replica the file is all there is to ask.
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
_WRITER_ROUNDS = 3  # within so many wal_writer_delay an asynchronous commit is on disk, PostgreSQL promises, and a rollback likewise

# The first indnkeyatts columns of an index are its key; the columns of INCLUDE follow. `parts` are all tables whose rows a SELECT from
# the table also returns: its partitions at any depth, and the tables that inherit from it.
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

# Row versions that were unfinished or newer at the transaction `since`. age() counts back from the next transaction id. It knows nothing
# of turns of the 32-bit counter: a row frozen whole turns ago may look new and is then read again, which changes nothing; none that is
# new can look old, for a delta never spans half a turn.
_CANDIDATE = sql.SQL("age(t.xmin) BETWEEN 0 AND age({since}::xid)")


@dataclass(frozen=True)
class Snapshot:
    """The one state of the source that a batch reads. Its transaction ids are 64 bits: below `xmin` all are finished, from `xmax` on
    none is visible.

    taken_at    UTC time, ISO 8601, and not after the snapshot: what had committed by then, or had come to the replica, is in it
    lsn_before  what had committed up to here in the server's log is in the snapshot
    lsn_after   nothing in the snapshot committed beyond
    """

    text: str
    taken_at: str
    identity: SourceIdentity
    lsn_before: int
    lsn_after: int

    @property
    def date(self) -> str:
        """The UTC day of the snapshot, as the manifest's ingest_date."""
        return self.taken_at[:10]

    @property
    def xmin(self) -> int:
        return int(self.text.split(":")[0])

    @property
    def xmax(self) -> int:
        return int(self.text.split(":")[1])


class TableError(PipelineError):
    """One table could not be locked, counted or read. The session still works, so the other tables go on."""


@dataclass(frozen=True)
class Counted:
    """Rows that a table holds, and how many of their versions were unfinished or newer at an earlier snapshot."""

    rows: int
    candidates: int


@dataclass
class Source:
    """A session whose transaction is open; `lsn` is where the server's log stood before. RetriableError once the snapshot has been held
    for too long."""

    connection: Any
    place: str
    lsn: int
    deadline: float = field(default_factory=lambda: time.monotonic() + SNAPSHOT_SECONDS)

    def lock(self, table: str) -> None:
        """Keeps a table as it is until the session ends (ACCESS SHARE). TableError when it cannot."""
        with self._savepoint(f"locking {table}"):
            self._execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(_table(table)), f"locking {table}")

    def snapshot(self) -> Snapshot:
        """Takes the snapshot, when it is the session's first query after the locks."""
        text, taken_at, lsn, system_identifier, timeline, database_oid = self._execute(_SNAPSHOT, "taking the snapshot")[0]
        identity = SourceIdentity(system_identifier, timeline, database_oid)
        return Snapshot(text, taken_at.isoformat(timespec="microseconds"), identity, self.lsn, int(lsn))

    def durable_lsn(self, snapshot: Snapshot) -> int:
        """Waits until no crash of the server can take back what the snapshot saw, and returns the position by which all of that is on disk.

        A commit with synchronous_commit off, like every rollback, is seen before it is on disk. Were it lost, its transaction id would be
        given again, to rows that no delta would offer. What is not on disk after the wait belongs to transactions that are still open.
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
        """Return the named tables that exist. For an `unlocked` table, the defaults and expressions of its columns are left out: to ask for
        them would wait for the lock that could not be had."""
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

        One statement counts all tables, with one scan each. Only if it fails, the tables are counted one by one.
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
        """Writes a table in COPY's text format: all rows, or the candidates of `since`. Columns: the contract's and `unreadable`
        (totesys.ingest.readable), then the raw lineage. TableError when the table cannot be read."""
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
        """The rows of a table as they are, whatever its contract says: key, transaction, JSON text. All, or the candidates of `since`.
        TableError when they cannot be read."""
        doing = f"reading {contract.table} as it is"
        statement = sql.SQL("{} WHERE {}").format(as_json(_table(contract.table), contract.key, live), _offered(since))
        with self._savepoint(doing), _explained(doing, self.place), self.connection.cursor("whole_rows") as cursor:
            self._limit()
            cursor.itersize = _ROWS_AT_ONCE
            cursor.execute(statement)
            yield from cursor

    @contextmanager
    def _savepoint(self, doing: str) -> Iterator[None]:
        """Set a savepoint around work on one table, so that its failure is a TableError and does not end the session."""
        self._execute(_SAVEPOINT, f"before {doing}")
        with self._undone(doing):
            yield

    @contextmanager
    def _undone(self, doing: str) -> Iterator[None]:
        """Roll back to the savepoint after a failure, and raise TableError. If the rollback fails too, the session is gone or its time is
        over: then the first error is raised as it is, and ends the run."""
        try:
            yield
        except PipelineError as error:
            try:
                self._execute("ROLLBACK TO SAVEPOINT of_table", f"after failing at {doing}")
            except PipelineError:
                raise error from None  # what happened first says more
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
                f"the snapshot of {self.place} was held for {SNAPSHOT_SECONDS} s, and was given up while {doing}: "
                "give the ingest job more capacity (MaxCapacity), or look for what slows the source"
            )
        with _explained(doing, self.place), self.connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []


@contextmanager
def open_source(credentials: Credentials) -> Iterator[Source]:
    """A session of totesys for one batch; closed, and its transaction rolled back, at the end."""
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
    """Where the server's log stands, asked in a transaction of its own: the batch's must not have a snapshot yet."""
    with _explained("asking for the log's position", place), connection, connection.cursor() as cursor:
        cursor.execute(LIFT_LIMITS)
        cursor.execute(f"SELECT {_POSITION}")
        return int(cursor.fetchone()[0])


@contextmanager
def _explained(doing: str, place: str) -> Iterator[None]:
    try:
        yield
    except psycopg2.Error as error:
        # The server's words can hold values: nothing of them may reach a log, by way of a traceback either.
        raise _server(place, error.cursor.connection.info.user if error.cursor else "of the job").error(error, doing) from None


def _server(place: str, user: str) -> Server:
    return Server(f"totesys ({place})", user, _HINTS)


def _table(table: str) -> sql.Composable:
    return sql.Identifier(SCHEMA, table)


def _offered(since: int | None) -> sql.Composable:
    return sql.SQL("true") if since is None else _candidate(since)


def _candidate(xmin: int) -> sql.Composable:
    return _CANDIDATE.format(since=sql.Literal(str(xmin & 0xFFFFFFFF)))
