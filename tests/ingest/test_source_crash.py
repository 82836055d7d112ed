"""A source that crashes: while a batch is read, between two batches, and right after something became visible."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import IO, Any

import pytest
from totesys.errors import RetriableError
from totesys.ingest import job, source
from totesys.ingest.source import Source

from tests.ingest.designs import STAMP, insert, rename, transaction
from tests.support.servers import restart

MANY = (
    "INSERT INTO design (design_id, design_name, file_location, file_name, created_at, last_updated) "
    f"SELECT key, 'Design', '/usr', 'd.json', {STAMP}, {STAMP} FROM generate_series(4, 100000) AS key"
)


@pytest.fixture
def designs(designs_elsewhere: Any) -> Iterator[Any]:
    """Ingest of a server that may crash."""
    yield designs_elsewhere
    server = designs_elsewhere.source.server
    if not server.is_running():
        restart(server)


def test_a_crash_while_a_table_is_read_leaves_no_batch_and_the_next_run_reads_all(designs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    designs.execute(MANY, rename(1, "Renamed"))
    copy = Source.copy

    class CrashingSink:
        """Takes the first rows, upon which the source crashes."""

        def __init__(self, sink: IO[bytes]) -> None:
            self.sink = sink

        def write(self, rows: bytes) -> int:
            if designs.source.server.is_running():
                designs.source.server.kill()
            return self.sink.write(rows)

    with monkeypatch.context() as patch:
        patch.setattr(Source, "copy", lambda self, *what: copy(self, *what[:-1], CrashingSink(what[-1])))
        with pytest.raises(RetriableError, match=r"broke off the session while reading design"):
            designs.tick()
    with pytest.raises(RetriableError, match="cannot be reached"):
        designs.tick()
    assert designs.newest().seq == 1
    restart(designs.source.server)
    batch = designs.tick()
    assert (batch.tables["design"].mode, designs.keys(batch, "design")) == ("delta", [1, *range(4, 100001)])


def test_a_transaction_that_a_crash_ends_is_never_read_and_nothing_beside_it_is_lost(designs: Any) -> None:
    with pytest.raises(Exception, match=r"closed|terminat"), transaction(designs.source) as early:
        early.execute(insert(4))
        designs.execute(insert(5))
        assert designs.keys(designs.tick(), "design") == [5]
        designs.source.server.kill()
        restart(designs.source.server)
    designs.execute(insert(6))
    assert designs.keys(designs.tick(), "design") == [6]
    designs.execute(insert(4))
    assert designs.keys(designs.tick(), "design") == [4]


def test_what_a_batch_has_seen_no_crash_of_the_source_takes_back(designs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server, commit = designs.source.server, job.commit
    with closing(designs.source.connect_as_superuser()) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'")
        [(writer,)] = cursor.fetchall()

    def writer_goes_on(seconds: float) -> None:
        os.kill(writer, signal.SIGCONT)
        time.sleep(seconds)

    def crash_and_commit(*arguments: Any) -> None:
        server.kill()
        commit(*arguments)

    os.kill(writer, signal.SIGSTOP)
    designs.execute("SET synchronous_commit = off", insert(4))
    with monkeypatch.context() as patch:
        patch.setattr(source, "time", SimpleNamespace(monotonic=time.monotonic, sleep=writer_goes_on))
        patch.setattr(job, "commit", crash_and_commit)
        assert designs.keys(designs.tick(), "design") == [4]
    restart(server)
    designs.execute(insert(5))
    assert designs.query("SELECT design_id FROM design ORDER BY 1") == [(1,), (2,), (3,), (4,), (5,)]
    assert designs.keys(designs.tick(), "design") == [5]
