"""What a comparison says that one of the two databases breaks off: what happened there, and who must act."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from psycopg2 import sql
from totesys.errors import FatalError, RetriableError
from totesys.runtime.secrets import Credentials

from operations.reconcile.databases import snapshot
from tests.conftest import Database


@pytest.fixture
def stranger(source: Database) -> Iterator[Credentials]:
    """A role that may connect to the source and read nothing."""
    source.server.execute(sql.SQL("CREATE ROLE stranger LOGIN PASSWORD 'plain'"))
    yield replace(source.credentials, username="stranger", password="plain")
    source.server.execute(sql.SQL("DROP ROLE stranger"))


def ask(database: Database, statement: str) -> None:
    with snapshot(database.credentials, "source") as connection, connection.cursor() as cursor:
        cursor.execute(statement)


def test_a_statement_that_reached_its_limit_is_not_blamed_on_the_roles_rights(source: Database) -> None:
    with pytest.raises(RetriableError, match="by its limit statement_timeout") as raised:
        ask(source, "SET statement_timeout = '1ms'; SELECT pg_sleep(30)")
    assert "rights" not in str(raised.value)


@pytest.mark.parametrize("state", ["40001", "40P01"])
def test_a_conflict_with_a_standbys_replay_is_tried_again(source: Database, state: str) -> None:
    with pytest.raises(RetriableError, match=r"conflict with another transaction or a standby's replay .*: try again$"):
        ask(source, f"DO $$ BEGIN RAISE 'canceling statement due to conflict with recovery' USING ERRCODE = '{state}'; END $$")


def test_a_session_that_the_server_ended_is_tried_again(source: Database) -> None:
    with pytest.raises(RetriableError, match=r"broke off the session .terminating connection due to administrator command"):
        ask(source, "SELECT pg_terminate_backend(pg_backend_pid())")


def test_a_role_without_rights_is_told_so(stranger: Credentials) -> None:
    with (
        pytest.raises(FatalError, match=r"forbids user stranger .*permission denied for table staff.*: check the rights"),
        snapshot(stranger, "source") as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT FROM public.staff")


def test_a_missing_table_asks_which_database_it_is(source: Database) -> None:
    with pytest.raises(FatalError, match=r"42P01.: let its secret name totesys$"):
        ask(source, "SELECT FROM nowhere")
