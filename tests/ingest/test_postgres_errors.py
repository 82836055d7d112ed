"""Who must act, by what PostgreSQL fails with: one table for all jobs and commands, tried on a server that raises each of them."""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest
from totesys.errors import BadDataError, FatalError, PipelineError, RetriableError
from totesys.errors.postgres import Server

from local_totesys.postgres import PostgresServer

SERVER = Server("the server", "worker")


@pytest.fixture
def failing(postgres: PostgresServer) -> Iterator[Callable[[str], psycopg2.Error]]:
    """Runs a statement and returns the error that it ends with."""
    with closing(postgres.connect("postgres")) as connection:

        def run(statement: str) -> psycopg2.Error:
            with pytest.raises(psycopg2.Error) as raised, connection.cursor() as cursor:
                cursor.execute(statement)
            return raised.value

        yield run


@pytest.mark.parametrize(
    ("state", "error", "says"),
    [
        ("08006", RetriableError, "the server broke off the session (words): the next run tries again"),
        ("0A000", FatalError, "the server does not support a statement (words, SQLSTATE 0A000): look at its server log"),
        ("22003", BadDataError, "the server cannot hold a value (SQLSTATE 22003): compare its columns with the contract"),
        ("23505", BadDataError, "the server refuses a row that breaks a rule of its tables (words, SQLSTATE 23505)"),
        ("25006", FatalError, "is read-only (words, SQLSTATE 25006): name a server that accepts writes in its secret"),
        ("25P03", RetriableError, "ended the session by its limit idle_in_transaction_session_timeout"),
        ("25P04", RetriableError, "ended the session by its limit transaction_timeout"),
        ("28P01", FatalError, "refuses user worker (words, SQLSTATE 28P01): correct its secret"),
        (
            "3D000",
            FatalError,
            "refuses user worker (words, SQLSTATE 3D000): create the database and run scripts/deploy.sh, or correct its secret",
        ),
        ("40001", RetriableError, "because of a conflict with another transaction or a standby's replay"),
        ("40P01", RetriableError, "because of a conflict with another transaction or a standby's replay"),
        ("42501", FatalError, "the server forbids user worker a statement (words, SQLSTATE 42501): grant the right"),
        ("42P01", FatalError, "the server refuses a statement (words, SQLSTATE 42P01): compare its tables with the contracts"),
        ("42703", FatalError, "the server refuses a statement (words, SQLSTATE 42703): compare its tables with the contracts"),
        ("53100", RetriableError, "the server lacks memory, disk or connections (words, SQLSTATE 53100)"),
        ("53300", RetriableError, "the server lacks memory, disk or connections (words, SQLSTATE 53300)"),
        ("55000", FatalError, "the server refuses a statement in this state of the object (words, SQLSTATE 55000)"),
        ("55P03", RetriableError, "did not grant a lock in time (words, SQLSTATE 55P03): the next run tries again, or end the session"),
        ("57014", RetriableError, "cancelled a statement, at a user's request or by its limit statement_timeout (words, SQLSTATE 57014)"),
        ("57P01", RetriableError, "the server is starting, stopping or not available (words, SQLSTATE 57P01)"),
        ("57P03", RetriableError, "the server is starting, stopping or not available (words, SQLSTATE 57P03)"),
        (
            "57P05",
            RetriableError,
            "ended the session by its limit idle_session_timeout (words, SQLSTATE 57P05): the next run tries",
        ),
        ("58030", RetriableError, "the server has trouble with its disk or its system (words, SQLSTATE 58030)"),
        ("XX000", FatalError, "the server had an internal error (words, SQLSTATE XX000): look at its server log"),
        ("XX001", FatalError, "the server has damaged data (words, SQLSTATE XX001): restore it, or delete the damaged row"),
        ("P0001", FatalError, "the server refuses a statement (SQLSTATE P0001): look at its server log"),
        ("ZZ999", FatalError, "the server refuses a statement (SQLSTATE ZZ999): look at its server log"),
    ],
)
def test_a_state_says_who_must_act(failing: Any, state: str, error: type[PipelineError], says: str) -> None:
    found = SERVER.error(failing(f"DO $$ BEGIN RAISE 'words' USING ERRCODE = '{state}'; END $$"))
    assert type(found) is error
    assert says in str(found)


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ('connection to server at "db" (10.0.0.1), port 5432 failed: Connection refused\n\tIs the server running?', RetriableError,
         "the server cannot be reached (Connection refused): check that it runs"),
        ('could not translate host name "db" to address: Name or service not known', RetriableError, "the server cannot be reached"),
        ('connection to server at "db", port 5432 failed: timeout expired', RetriableError, "the server cannot be reached"),
        ('connection to server at "db", port 5432 failed: FATAL:  password authentication failed for user "worker"', FatalError,
         "the server refuses user worker (FATAL: password authentication failed"),
        ('connection to server at "db", port 5432 failed: FATAL:  no pg_hba.conf entry for host "10.0.0.9"', FatalError, "refuses user"),
        ('connection to server at "db", port 5432 failed: FATAL:  database "nowhere" does not exist', FatalError, "create the database"),
        ('connection to server at "db", port 5432 failed: FATAL:  role "worker" is not permitted to log in', FatalError, "refuses user"),
        ('connection to server at "db", port 5432 failed: FATAL:  permission denied for database "d"', FatalError, "refuses user"),
        ('connection to server at "db", port 5432 failed: FATAL:  the database system is starting up', RetriableError, "be reached"),
        ('connection to server at "db", port 5432 failed: FATAL:  sorry, too many clients already', RetriableError, "be reached"),
        ('connection to server at "db", port 5432 failed: FATAL:  terminating connection due to administrator command', RetriableError,
         "cannot be reached"),
        ('connection to server at "db", port 5432 failed: server does not support SSL, but SSL was required', FatalError, "refuses user"),
        ('connection to server at "db", port 5432 failed: SSL error: certificate verify failed', FatalError, "refuses user"),
        ('connection to server at "db", port 5432 failed: server certificate for "x" does not match host name "db"', FatalError, "refuses"),
        ('connection to server at "db", port 5432 failed: SSL SYSCALL error: Connection reset by peer', RetriableError, "be reached"),
        ("server closed the connection unexpectedly\n\tThis probably means", RetriableError, "broke off the session (server closed the"),
        ("SSL connection has been closed unexpectedly", RetriableError, "the server broke off the session (SSL connection has been closed"),
        ("SSL SYSCALL error: EOF detected", RetriableError, "broke off the session"),
        ("SSL error: unexpected eof while reading", RetriableError, "broke off the session"),
        ("SSL error: decryption failed or bad record mac", RetriableError, "broke off the session"),
        ("", RetriableError, "the server broke off the session (OperationalError)"),
    ],
)  # fmt: skip
def test_a_connection_without_a_state_needs_a_person_only_where_its_text_says_so(text: str, error: type[PipelineError], says: str) -> None:
    found = SERVER.error(psycopg2.OperationalError(text))
    assert type(found) is error
    assert says in str(found)


def test_what_psycopg2_itself_refuses_is_no_broken_connection() -> None:
    assert type(SERVER.error(psycopg2.ProgrammingError("no results to fetch"))) is FatalError


@pytest.mark.parametrize("setting", ["idle_session_timeout", "idle_in_transaction_session_timeout", "transaction_timeout"])
def test_a_session_that_a_limit_ended_is_told_by_the_limit(postgres: PostgresServer, setting: str) -> None:
    with closing(postgres.connect("postgres")) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1" if setting == "idle_session_timeout" else "BEGIN")
            cursor.execute(f"SET {setting} = '1ms'")
            # A statement that crosses the server's last words loses them, so wait until the server has closed the connection.
            closed = select.poll()
            closed.register(connection.fileno(), select.POLLRDHUP)
            assert closed.poll(30_000)
            with pytest.raises(psycopg2.OperationalError) as raised:
                cursor.execute("SELECT 1")
        found = SERVER.error(raised.value, "waiting")
    assert type(found) is RetriableError
    assert str(found).startswith(f"the server ended the session by its limit {setting} while waiting (terminating connection due to")
    assert "raise that limit for user worker" in str(found)


def test_an_exhausted_sequence_is_named_with_its_cure(failing: Any) -> None:
    error = failing("CREATE TEMPORARY SEQUENCE of_orders MAXVALUE 2 START 2; SELECT nextval('of_orders'), nextval('of_orders')")
    assert str(SERVER.error(error)) == (
        'the server has a sequence that is exhausted (nextval: reached maximum value of sequence "of_orders" (2), SQLSTATE 2200H):'
        " ALTER SEQUENCE … AS bigint, and ALTER TABLE … ALTER COLUMN … TYPE bigint for the column that it numbers"
    )


def test_words_that_hold_a_value_are_not_repeated(failing: Any) -> None:
    assert "secret-7" not in str(SERVER.error(failing("SELECT 'secret-7'::integer")))
    assert "secret-7" not in str(SERVER.error(failing("DO $$ BEGIN RAISE 'secret-7'; END $$")))


def test_a_callers_hint_counts_where_it_is_at_least_as_exact_as_the_rule(failing: Any) -> None:
    server = Server("the server", "worker", {"42": "ask for {user}", "42P01": "make the table"})
    assert server.error(failing("SELECT FROM nowhere")).cure == "make the table"
    assert server.error_of("42703", "").cure == "ask for worker"
    assert server.error_of("42501", "").cure == "grant the right"
