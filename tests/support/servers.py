"""Servers for as long as somebody needs them, in folders that go with them. Imports on Python 3.9 and without PySpark."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from local_totesys.postgres import PostgresError, PostgresServer

_END_SERVER = 'cat > /dev/null; kill -QUIT "$(head -n 1 "$0")" 2> /dev/null'


@contextmanager
def postgres_server(folder: Path, options: Mapping[str, str] | None = None) -> Iterator[PostgresServer]:
    """A running server, guarded."""
    with guarded(folder):
        yield PostgresServer.start(folder, options=options)


def restart(server: PostgresServer, **options: str) -> None:
    """Starts a server that crashed or was stopped, on its port; it recovers."""
    server.pid = PostgresServer.start(server.folder, server.port, options).pid


@contextmanager
def guarded(folder: Path) -> Iterator[None]:
    """A folder that ends with the context, and with it whatever server runs in it by then. Both go with this process, even when that is
    killed: a guard waits for the end of its pipe."""
    guard = subprocess.Popen(
        ["sh", "-c", _END_SERVER, str(folder / "data" / "postmaster.pid")],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        with suppress(PostgresError):  # one that a test ended
            PostgresServer.attach(folder).stop()
        guard.communicate()
        shutil.rmtree(folder, ignore_errors=True)
