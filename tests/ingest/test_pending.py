"""What the warehouse lacks is asked of the warehouse, in every tick: what it lost is announced again, and a dead one starts nothing."""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from totesys.lake.manifests import NO_PUBLISH, commit

from local_totesys.postgres import free_port
from tests.conftest import Database
from tests.ingest.conftest import WAREHOUSE_SECRET
from tests.ingest.designs import insert

LEDGER = "CREATE SCHEMA etl; CREATE TABLE etl.load_ledger (load_seq bigint PRIMARY KEY, through_batch_seq bigint NOT NULL)"


class FakeWarehouse:
    """A warehouse of which only the ledger matters."""

    def __init__(self, database: Database, ingest: Any) -> None:
        self.database = database
        self.ingest = ingest
        self.execute(LEDGER)
        self.come_back()

    def execute(self, statement: str) -> None:
        with closing(self.database.connect()) as connection, connection, connection.cursor() as cursor:
            cursor.execute(statement)

    def load(self, *through: int) -> None:
        """Makes its ledger that of loads which ended with these batches."""
        self.execute("DELETE FROM etl.load_ledger")
        for load_seq, batch_seq in enumerate(through, start=1):
            self.execute(f"INSERT INTO etl.load_ledger VALUES ({load_seq}, {batch_seq})")

    def go_down(self) -> None:
        self.ingest.put_secret(replace(self.database.credentials, port=free_port()), WAREHOUSE_SECRET)

    def come_back(self) -> None:
        self.ingest.put_secret(self.database.credentials, WAREHOUSE_SECRET)


@pytest.fixture
def loaded(designs: Any, warehouse: Database) -> FakeWarehouse:
    """The warehouse after batch 1 with designs, and batch 2 with another; all is loaded, and no announcement is left."""
    designs.execute(insert(4))
    designs.tick()
    designs.announced()
    loaded = FakeWarehouse(warehouse, designs)
    loaded.load(1, 2)
    return loaded


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO)
    return caplog


def is_caught_up(logged: pytest.LogCaptureFixture) -> bool:
    """Whether the last tick has sent the heartbeat."""
    return "CaughtUp" in [record.metrics for record in logged.records if getattr(record, "event", "") == "batch committed"][-1]


def warnings(logged: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in logged.records if record.levelno == logging.WARNING]


def test_a_tick_whose_batches_are_all_loaded_announces_nothing(
    designs: Any, loaded: FakeWarehouse, logged: pytest.LogCaptureFixture
) -> None:
    designs.tick()
    assert (designs.announced(), is_caught_up(logged)) == ([], True)


def test_waiting_work_is_announced_by_every_run_until_it_is_loaded(
    designs: Any, loaded: FakeWarehouse, logged: pytest.LogCaptureFixture
) -> None:
    designs.execute(insert(5))
    designs.tick()
    designs.tick()
    assert (designs.announced(), is_caught_up(logged)) == ([3, 3], False)
    loaded.load(1, 2, 3)
    designs.tick()
    assert (designs.announced(), is_caught_up(logged)) == ([], True)


@pytest.mark.parametrize("loss", ["DELETE FROM etl.load_ledger WHERE load_seq > 1", "DROP SCHEMA etl CASCADE"], ids=["restored", "lost"])
def test_what_a_restored_or_lost_warehouse_lacks_is_announced_though_the_source_is_quiet(
    designs: Any, loaded: FakeWarehouse, logged: pytest.LogCaptureFixture, loss: str
) -> None:
    loaded.execute(loss)
    assert not designs.tick().has_rows
    assert (designs.announced(), is_caught_up(logged)) == ([2], False)


def test_while_the_warehouse_is_down_a_batch_is_committed_registered_and_announced_until_the_lake_has_it(
    designs: Any, loaded: FakeWarehouse, logged: pytest.LogCaptureFixture
) -> None:
    loaded.go_down()
    designs.execute(insert(5))
    batch = designs.tick()
    assert (batch.seq, batch.data_seq) == (3, 3)
    assert (batch.ingest_date, batch.batch_id) in designs.partitions("design")
    assert (designs.announced(), is_caught_up(logged)) == ([3], False)

    commit(designs.processed, replace(NO_PUBLISH, seq=1, through_batch_seq=3))
    designs.tick()
    assert (designs.announced(), is_caught_up(logged)) == ([], False), "Spark does not start for a warehouse that is down"

    loaded.come_back()
    designs.tick()
    assert designs.announced() == [3]


def test_why_the_warehouse_could_not_be_asked_is_one_line_without_the_password(
    designs: Any, loaded: FakeWarehouse, logged: pytest.LogCaptureFixture
) -> None:
    loaded.go_down()
    designs.tick()
    [warning] = warnings(logged)
    assert warning.startswith("batch 3 is committed, but it is unknown which batches the warehouse lacks: warehouse ")
    assert "refused" in warning and "\n" not in warning
    assert loaded.database.credentials.password not in warning


def test_a_secret_without_a_value_keeps_no_batch_from_its_commit(
    designs: Any, loaded: FakeWarehouse, logged: pytest.LogCaptureFixture
) -> None:
    designs.arguments = replace(designs.arguments, warehouse_secret="no/such/secret")
    assert designs.tick().seq == 3
    assert "secret no/such/secret" in warnings(logged)[0]


def test_a_warehouse_that_is_ahead_of_the_landed_batches_is_named_and_nothing_is_well(
    designs: Any, loaded: FakeWarehouse, logged: pytest.LogCaptureFixture
) -> None:
    loaded.load(1, 2, 9)
    commit(designs.processed, replace(NO_PUBLISH, seq=1, through_batch_seq=2))
    designs.tick()
    assert (designs.announced(), is_caught_up(logged)) == ([], False)
    assert "the warehouse holds batch 9, but the newest batch with rows in the ingestion bucket is 2" in warnings(logged)[0]
