"""Random short histories with several open transactions, against an oracle: whatever is committed, the batches in order are the source."""

from __future__ import annotations

import io
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from totesys.contracts import load_contracts
from totesys.ingest.job import capture_batch
from totesys.ingest.source import open_source
from totesys.lake.manifests import BatchManifest
from totesys.lake.store import Bucket
from totesys.runtime.run_request import RunRequest

SESSIONS = 3
STAMP = "'2024-01-05 09:00:00.123'"
PUT = (
    "INSERT INTO design (design_id, design_name, file_location, file_name, created_at, last_updated) "
    f"VALUES (%(key)s, %(name)s, '/usr', 'd.json', {STAMP}, {STAMP}) ON CONFLICT (design_id) DO UPDATE SET design_name = %(name)s"
)
DELETE = "DELETE FROM design WHERE design_id = %(key)s"

steps = st.one_of(
    st.just(("tick",)),
    st.tuples(st.sampled_from(["put", "put", "put", "delete"]), st.integers(0, SESSIONS - 1), st.integers(0, 2)),
    st.tuples(st.sampled_from(["commit", "commit", "rollback", "savepoint", "undo", "exception block"]), st.integers(0, SESSIONS - 1)),
)


class WriterSessions:
    """Open transactions at the source. Each has keys of its own, so that none waits for another."""

    def __init__(self, source: Any) -> None:
        self.connections = [source.connect() for _ in range(SESSIONS)]
        self.has_savepoint = [False] * SESSIONS
        self.changes = 0

    def step(self, action: str, session: int, slot: int = 0) -> None:
        connection = self.connections[session]
        self.changes += 1
        values = {"key": 1 + slot * SESSIONS + session, "name": f"change {self.changes}"}
        with connection.cursor() as cursor:
            if action == "put":
                cursor.execute(PUT, values)
            elif action == "delete":
                cursor.execute(DELETE, values)
            elif action == "savepoint":
                cursor.execute("SAVEPOINT s")
                self.has_savepoint[session] = True
            elif action == "undo" and self.has_savepoint[session]:
                cursor.execute("ROLLBACK TO SAVEPOINT s")
            elif action == "exception block":
                put = cursor.mogrify(PUT, values).decode()
                cursor.execute(f"DO $block$ BEGIN {put}; EXCEPTION WHEN OTHERS THEN NULL; END $block$")
        if action in ("commit", "rollback"):
            getattr(connection, action)()
            self.has_savepoint[session] = False

    def close(self) -> None:
        for connection in self.connections:
            connection.close()


class Shelf(Bucket):
    """A bucket in memory: hundreds of batches are read here in the time that a few take through HTTP."""

    def get(self, key: str) -> bytes:
        return bytes(self.client[key])

    def put(self, key: str, body: bytes) -> None:
        self.client[key] = body

    def upload(self, path: str, key: str) -> None:
        self.client[key] = Path(path).read_bytes()


class Oracle:
    """The batches applied in order, and every row version that was landed."""

    def __init__(self, source: Any) -> None:
        self.source = source
        self.contracts = {"design": load_contracts().source["design"]}
        self.bucket = Shelf({}, "raw")
        self.batch: BatchManifest | None = None
        self.mirror: dict[int, str] = {}
        self.landed: set[tuple[int, int]] = set()

    def tick(self) -> None:
        with open_source(self.source.credentials) as session:
            self.batch = capture_batch(session, self.bucket, self.contracts, self.batch, RunRequest(accept_deletes=frozenset({"design"})))
        capture = self.batch.tables["design"]
        bodies = [self.bucket.get(landed.key) for landed in capture.files]
        rows = [row for body in bodies for row in pq.ParquetFile(io.BytesIO(body)).read().to_pylist()]
        versions = {(row["design_id"], row["source_xid"]) for row in rows}
        state = {row["design_id"]: row["design_name"] for row in rows}
        if capture.mode == "full":
            self.mirror = state
        else:
            assert not versions & self.landed, "a delta landed a row version again"
            self.mirror.update(state)
        self.landed |= versions
        assert self.mirror == self.committed()

    def committed(self) -> dict[int, str]:
        with closing(self.source.connect()) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT design_id, design_name FROM design")
            return dict(cursor.fetchall())


@pytest.fixture
def oracle(source: Any) -> Oracle:
    return Oracle(source)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(history=st.lists(steps, min_size=6, max_size=24))
def test_batches_in_order_are_the_source_and_no_delta_lands_a_version_twice(oracle: Oracle, history: list[tuple[Any, ...]]) -> None:
    with closing(oracle.source.connect()) as connection, connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM design")
    oracle.tick()
    sessions = WriterSessions(oracle.source)
    try:
        for action, *rest in history:
            if action == "tick":
                oracle.tick()
            else:
                sessions.step(action, *rest)
        oracle.tick()
        for session in range(SESSIONS):
            sessions.step("commit", session)
            oracle.tick()
    finally:
        sessions.close()
