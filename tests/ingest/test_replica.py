"""Ingest from a hot standby, and from one and then the other of primary and standby, while the standby lags, catches up and takes over."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from totesys.errors import RetriableError
from totesys.ingest.source import Source

from local_totesys.postgres import PostgresServer
from tests.conftest import Database
from tests.ingest.designs import insert, prepared, rename, transaction
from tests.support.servers import guarded


class Replica:
    """A standby and ingest's view of it."""

    def __init__(self, ingest: Any, server: PostgresServer) -> None:
        self.ingest = ingest
        self.server = server

    def ask(self, query: str, database: Database | None = None) -> Any:
        """The value of a query at the standby, or elsewhere."""
        with closing((database or Database(self.server, "postgres")).connect_as_superuser()) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            cursor.execute(query)
            return cursor.fetchone()[0] if cursor.description else None

    def pause(self) -> None:
        """Lets the standby stand still; what its primary does from now on it does not show."""
        self.catch_up()
        self.ask("SELECT pg_wal_replay_pause()::text")
        self.until("SELECT pg_get_wal_replay_pause_state() = 'paused'")

    def catch_up(self) -> None:
        self.ask("SELECT pg_wal_replay_resume()::text")
        position = self.ask("SELECT pg_current_wal_flush_lsn()", self.ingest.source)
        self.until(f"SELECT pg_last_wal_replay_lsn() >= '{position}'")

    def lose_touch(self) -> None:
        """Lets the standby hear no more of its primary."""
        self.catch_up()
        self.set("primary_conninfo = ''")
        self.until("SELECT NOT EXISTS (SELECT FROM pg_stat_wal_receiver)")

    @contextmanager
    def impatient(self) -> Iterator[None]:
        """Lets the standby's replay wait for no reader."""
        self.set("max_standby_streaming_delay = 0")
        yield
        self.set("max_standby_streaming_delay = DEFAULT")

    def set(self, setting: str) -> None:
        self.ask(f"ALTER SYSTEM SET {setting}")
        self.ask("SELECT pg_reload_conf()")

    def until(self, condition: str) -> None:
        deadline = time.monotonic() + 30
        while not self.ask(condition):
            assert time.monotonic() < deadline, condition
            time.sleep(0.01)

    def tick(self, **request: Any) -> Any:
        """A batch from the standby, as it is; the keys that it landed."""
        self.ingest.read_from(self.server)
        return self.ingest.keys(self.ingest.tick(**request), "design")

    def tick_of(self, server: PostgresServer) -> Any:
        self.ingest.read_from(server)
        return self.ingest.keys(self.ingest.tick(), "design")

    def tick_of_primary(self) -> Any:
        return self.tick_of(self.ingest.source.server)

    def tick_caught_up(self) -> Any:
        self.catch_up()
        return self.tick()

    def mode(self) -> str:
        return str(self.ingest.newest().tables["design"].mode)


@pytest.fixture
def replica(designs: Any, standby: PostgresServer) -> Iterator[Replica]:
    """A standby of the source, of which ingest has read designs 1, 2 and 3 from the primary."""
    replica = Replica(designs, standby)
    replica.catch_up()
    yield replica
    replica.catch_up()


def test_a_late_commit_under_savepoints_is_read_from_a_standby_once(replica: Replica) -> None:
    with transaction(replica.ingest.source) as early:
        early.execute("SAVEPOINT s")
        early.execute(insert(4))
        early.execute("RELEASE s")
        early.execute("SAVEPOINT t")
        early.execute(insert(6))
        early.execute("ROLLBACK TO t")
        replica.ingest.execute(insert(5))
        assert replica.tick_caught_up() == [5]
        assert replica.tick_caught_up() == []
    assert replica.tick_caught_up() == [4]
    assert replica.tick_caught_up() == []
    assert replica.mode() == "delta"


def test_a_prepared_transaction_is_read_from_a_standby_once(replica: Replica) -> None:
    with prepared(replica.ingest.source, "late on a standby", insert(4)) as late:
        replica.ingest.execute(insert(5))
        assert replica.tick_caught_up() == [5]
        late.tpc_commit()
    assert replica.tick_caught_up() == [4]
    assert replica.tick_caught_up() == []


def test_a_standby_that_stands_still_and_catches_up_loses_nothing(replica: Replica) -> None:
    replica.tick()
    with transaction(replica.ingest.source) as early:
        early.execute(insert(4))
        replica.pause()
        replica.ingest.execute(insert(5), rename(1, "Again"))
        assert replica.tick() == []
    assert replica.tick() == []
    replica.ingest.execute(rename(1, "And again"))
    assert replica.tick_caught_up() == [1, 4, 5]
    assert replica.tick_caught_up() == []


def test_the_source_may_move_from_primary_to_standby_and_back_between_two_deltas(replica: Replica) -> None:
    with transaction(replica.ingest.source) as early:
        early.execute(insert(4))
        replica.ingest.execute(insert(5))
        assert replica.tick_caught_up() == [5]
        replica.ingest.execute(insert(6))
        assert replica.tick_of_primary() == [6]
        assert replica.tick_caught_up() == []
    assert replica.tick_of_primary() == [4]
    assert replica.tick_caught_up() == []
    assert replica.mode() == "delta"


def test_a_standby_behind_the_previous_batch_is_refused_until_it_has_caught_up(replica: Replica) -> None:
    replica.pause()
    replica.ingest.execute(insert(4), rename(1, "Renamed"))
    assert replica.tick_of_primary() == [1, 4]
    for _ in range(2):
        with pytest.raises(RetriableError, match=r"bytes behind where batch 2 read it.*wait until the replica has caught up"):
            replica.tick()
    assert replica.ingest.newest().seq == 2
    replica.ingest.execute(insert(5))
    assert replica.tick_caught_up() == [5]


def test_a_standby_whose_transaction_ids_do_not_show_that_it_is_behind_is_refused(replica: Replica) -> None:
    with transaction(replica.ingest.source) as oldest:
        oldest.execute(insert(4))
        with transaction(replica.ingest.source) as late:
            late.execute(insert(5))
            replica.ingest.execute(insert(6))
            replica.pause()
        assert replica.tick_of_primary() == [5, 6]
        snapshot = replica.ask("SELECT pg_snapshot_xmin(s) || ':' || pg_snapshot_xmax(s) || ':' FROM pg_current_snapshot() AS s")
        assert replica.ingest.newest().snapshot.startswith(snapshot)
        with pytest.raises(RetriableError, match="behind where batch 2 read it"):
            replica.tick()
    assert replica.tick_caught_up() == [4]


def test_a_demanded_full_read_takes_the_source_as_it_is_and_deltas_follow_from_there(replica: Replica) -> None:
    replica.pause()
    replica.ingest.execute(rename(1, "Renamed"))
    assert replica.tick_of_primary() == [1]
    assert replica.tick(full=True) == [1, 2, 3]
    assert replica.tick() == []
    assert replica.tick_caught_up() == [1]


def test_a_batch_that_replay_cancels_is_tried_again(replica: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    replica.ingest.execute(rename(1, "Renamed"))
    replica.catch_up()
    copy = Source.copy

    def copy_once_the_table_was_rewritten(*arguments: Any) -> None:
        replica.ask("VACUUM FULL design", replica.ingest.source)
        replica.catch_up()
        copy(*arguments)

    with replica.impatient(), monkeypatch.context() as patch:
        patch.setattr(Source, "copy", copy_once_the_table_was_rewritten)
        with pytest.raises(RetriableError, match=r"broke off the session .* the next run tries again"):
            replica.tick()
    assert replica.tick() == [1]


def test_a_standby_that_takes_over_without_the_last_commits_is_read_in_full_and_then_by_deltas(
    designs: Any, postgres: PostgresServer, tmp_path: Path
) -> None:
    with guarded(tmp_path / "standby"):
        replica = Replica(designs, PostgresServer.standby_of(postgres, tmp_path / "standby"))
        designs.execute(insert(4, 5, 6))
        replica.lose_touch()
        designs.execute(insert(7), rename(1, "Lost"))
        assert replica.tick_of_primary() == [1, 4, 5, 6, 7]
        replica.server.promote()
        new_primary = replace(designs.source, server=replica.server)
        designs.move_to(new_primary)
        designs.execute(insert(8))
        batch = designs.tick()
        assert (designs.keys(batch, "design"), batch.tables["design"].mode, batch.source.timeline) == ([1, 2, 3, 4, 5, 6, 8], "full", 2)
        with transaction(new_primary) as early:
            early.execute(insert(9))
            designs.execute(insert(10))
            assert replica.tick() == [10]
        with pytest.raises(RetriableError, match="it is on timeline 1, and batch 4 read timeline 2"):
            replica.tick_of(postgres)
        assert replica.tick() == [9]
        assert replica.mode() == "delta"
