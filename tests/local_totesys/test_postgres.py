"""A server of our own: private, on loopback, and back with its data after a crash; a standby that follows it."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from local_totesys.postgres import PostgresError, PostgresServer
from tests.support.local_aws.machine import wait_until


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PostgresServer]:
    """A server below a folder that only its owner may enter."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    running = PostgresServer.start(closed / "server")
    yield running
    running.stop()


def test_a_wrong_password_is_refused(postgres: PostgresServer) -> None:
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(postgres.url("postgres", password="wrong"))


def test_it_listens_on_loopback_alone_and_keeps_utc(postgres: PostgresServer) -> None:
    connection = postgres.connect_as_superuser("postgres")
    with connection.cursor() as cursor:
        names = ["listen_addresses", "unix_socket_directories", "timezone", "server_encoding", "wal_level", "max_prepared_transactions"]
        cursor.execute("SELECT name, setting FROM pg_settings WHERE lower(name) = ANY (%s)", (names,))
        found = {name.lower(): setting for name, setting in cursor.fetchall()}
    connection.close()
    assert [found[name] for name in names] == ["127.0.0.1", "", "UTC", "UTF8", "replica", "10"]


def test_the_owner_has_the_rights_of_a_managed_servers_master_user(server: PostgresServer) -> None:
    server.create_database("owned")
    attributes = "SELECT rolcanlogin, rolcreatedb, rolcreaterole, rolsuper, rolreplication, rolbypassrls FROM pg_roles"
    assert rows(server, f"{attributes} WHERE rolname = current_user") == [(True, True, True, False, False, False)]
    assert rows(server, "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'owned'") == [("owner",)]
    assert rows(server, "SELECT roleid::regrole FROM pg_auth_members WHERE member = 'owner'::regrole") == []


def test_a_busy_port_is_named_in_one_line(postgres: PostgresServer, tmp_path: Path) -> None:
    with pytest.raises(PostgresError, match=rf"^port {postgres.port} of 127.0.0.1 is busy: .*$"):
        PostgresServer.start(tmp_path / "other", postgres.port)


def test_folders_above_keep_their_modes_and_the_passwords_are_private(server: PostgresServer) -> None:
    assert stat.S_IMODE(server.folder.parent.stat().st_mode) == 0o700
    for file in ("password", "superuser_password"):
        assert stat.S_IMODE((server.folder / file).stat().st_mode) == 0o600


def test_a_killed_server_starts_again_on_its_port_with_its_data(server: PostgresServer) -> None:
    server.create_database("kept")
    server.kill()
    with pytest.raises(PostgresError, match="start it"):
        PostgresServer.attach(server.folder)
    again = PostgresServer.start(server.folder, server.port)
    again.connect("kept").close()
    assert (again.port, again.password) == (server.port, server.password)
    again.stop()


def test_a_standby_follows_its_primary_until_it_is_promoted(server: PostgresServer, tmp_path: Path) -> None:
    standby = PostgresServer.standby_of(server, tmp_path / "standby")
    try:
        server.create_database("followed")
        wait_until("the database is there", lambda: ("followed",) in rows(standby, "SELECT datname FROM pg_database"))
        with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
            standby.create_database("own")
        standby.promote()
        standby.create_database("own")
        assert rows(standby, "SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)") == [("00000002",)]
        assert ("own",) not in rows(server, "SELECT datname FROM pg_database")
    finally:
        standby.stop()


def rows(server: PostgresServer, query: str) -> list[tuple[object, ...]]:
    with closing(server.connect("postgres")) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())
