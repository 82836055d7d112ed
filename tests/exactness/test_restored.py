"""A warehouse that is restored from a backup, or lost, is brought to where it was by the next tick, though the source is quiet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from totesys.contracts import load_contracts

from operations.reconcile.compare import compare_all
from tests.conftest import Database
from tests.exactness.conftest import SharedWorld
from tests.support.orders import PARENTS, design, order, query
from tests.support.world import World

VERSIONS = "SELECT sales_record_id, sales_order_id, units_sold FROM fact_sales_order ORDER BY sales_record_id"


@pytest.fixture
def pipeline(world: World, source: Database, warehouse: Database) -> SharedWorld:
    """After its first run, with order 1."""
    pipeline = SharedWorld(world, source, warehouse)
    pipeline.at_source(*PARENTS, design(1), order(1, 1))
    world.run()
    return pipeline


@pytest.fixture
def backup(pipeline: SharedWorld, new_database: Callable[[str], str]) -> Iterator[Database]:
    """A copy of the warehouse as it is after the first run."""
    backup = Database(pipeline.warehouse.server, new_database(pipeline.warehouse.dbname))
    yield backup
    backup.server.drop_database(backup.dbname)


def let_time_pass(pipeline: SharedWorld) -> None:
    """Four batches with rows, published and loaded one by one."""
    for units in (2, 3):
        pipeline.at_source(f"UPDATE sales_order SET units_sold = {units}, last_updated = now() WHERE sales_order_id = 1")
        pipeline.world.run()
    pipeline.at_source(order(2, 1))
    pipeline.world.run()
    pipeline.at_source("DELETE FROM sales_order WHERE sales_order_id = 2", "UPDATE staff SET first_name = 'Ada'")
    pipeline.world.run(accept_deletes=["sales_order"])


def differences(pipeline: SharedWorld, warehouse: Database) -> list[str]:
    with closing(pipeline.source.connect()) as source, closing(warehouse.connect()) as connection:
        return [str(found) for comparison in compare_all(load_contracts(), source, connection) for found in comparison.listed]


def test_a_warehouse_from_a_backup_gets_the_batches_that_it_lacks_with_the_next_tick(pipeline: SharedWorld, backup: Database) -> None:
    let_time_pass(pipeline)
    before = query(pipeline.warehouse, VERSIONS)
    pipeline.world.move_warehouse(backup.credentials)

    assert not pipeline.world.tick(), "the source is quiet"

    assert query(backup, VERSIONS) == before
    assert differences(pipeline, backup) == []
    through = "SELECT load_seq, first_batch_seq, through_batch_seq FROM etl.load_ledger ORDER BY load_seq"
    assert query(backup, through) == [(1, 1, 1), (2, 2, 5)]


def test_a_warehouse_from_a_backup_of_before_the_lake_was_rebuilt_gets_what_it_lacks(pipeline: SharedWorld, backup: Database) -> None:
    """Every publish then has another number and id than those in the ledger: work is known by its batch."""
    let_time_pass(pipeline)
    before = query(pipeline.warehouse, VERSIONS)
    s3, processed = pipeline.world.clients.s3, pipeline.world.processed
    for key, _ in list(processed.objects("")):
        s3.delete_object(Bucket=processed.name, Key=key)
    pipeline.world.transform()
    pipeline.world.move_warehouse(backup.credentials)

    pipeline.world.tick()

    assert query(backup, VERSIONS) == before
    assert differences(pipeline, backup) == []


def test_a_warehouse_that_was_recreated_empty_gets_everything_with_the_next_tick(
    pipeline: SharedWorld, warehouse_template: str, new_database: Callable[[str], str]
) -> None:
    let_time_pass(pipeline)
    before = [row[1:] for row in query(pipeline.warehouse, VERSIONS)]
    empty = Database(pipeline.warehouse.server, new_database(warehouse_template))
    pipeline.world.move_warehouse(empty.credentials)

    pipeline.world.tick()

    assert [row[1:] for row in query(empty, VERSIONS)] == before
    assert differences(pipeline, empty) == []
