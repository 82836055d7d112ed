"""A pipeline that a newer version wrote, and then an older one was deployed: each job refuses what it cannot read, and harms nothing."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pyspark.sql import SparkSession
from totesys.errors import FatalError, PipelineError
from totesys.lake import layout
from totesys.lake.manifests import newest_batch, newest_publish
from totesys.lake.store import Bucket
from totesys.warehouse.state import loaded_through

from local_totesys.postgres import PostgresServer
from operations.lake import Lake
from tests.conftest import Database
from tests.formats.restore import Restored, query, restore
from tests.support.local_aws.machine import LocalAws

NEWER = "was written by a newer version of the pipeline (format 2, this code reads up to 1): deploy that version again"
BATCH, PUBLISH = layout.manifest_key(5), layout.manifest_key(4)
LEDGER = "SELECT * FROM etl.load_ledger ORDER BY load_seq"


@pytest.fixture(scope="module")
def restored(
    spark: SparkSession, aws: LocalAws, postgres: PostgresServer, warehouse_template: str, new_database: Callable[[str], str]
) -> Restored:
    """A pipeline with a publish to load and a batch to publish. Every test leaves it so."""
    restored = restore(spark, aws, lambda: Database(postgres, new_database(warehouse_template)))
    restored.keep_source()
    return restored


def set_format(body: dict[str, Any]) -> None:
    body["format"] = 2


@contextmanager
def changed(bucket: Bucket, key: str, change: Callable[[dict[str, Any]], Any]) -> Iterator[None]:
    """Change a JSON object of a bucket, for as long as the context lasts."""
    before = bucket.get(key)
    body = json.loads(before)
    change(body)
    bucket.put(key, json.dumps(body).encode())
    yield
    bucket.put(key, before)


def state(restored: Restored) -> list[Any]:
    """All that the jobs have made."""
    world = restored.world
    return [*world.ingestion.objects(""), *world.processed.objects(""), *query(restored.warehouse, LEDGER)]


def assert_refused(restored: Restored, job: Callable[[], Any], where: str) -> None:
    before = state(restored)
    with pytest.raises(FatalError) as refused:
        job()
    assert str(refused.value) == f"{where} {NEWER}"
    assert state(restored) == before


def lake(restored: Restored) -> Lake:
    """The lake as the commands of operations read it."""
    return Lake(restored.world.ingestion, restored.world.processed, lambda: loaded_through(restored.warehouse.credentials))


def test_a_newer_batch_is_refused_by_ingest_transform_and_the_commands(restored: Restored) -> None:
    world = restored.world
    where = f"s3://{world.ingestion.name}/{BATCH}"
    with changed(world.ingestion, BATCH, set_format):
        for job in (world.ingest, world.transform, lake(restored).newest_batch, lake(restored).progress):
            assert_refused(restored, job, where)


def test_a_newer_publish_is_refused_by_transform_load_and_the_commands(restored: Restored) -> None:
    world = restored.world
    where = f"s3://{world.processed.name}/{PUBLISH}"
    with changed(world.processed, PUBLISH, set_format):
        for job in (world.transform, world.load, lake(restored).newest_publish):
            assert_refused(restored, job, where)


def test_a_newer_key_set_is_refused_by_ingest_alone(restored: Restored) -> None:
    world, source = restored.world, restored.source
    batch = newest_batch(world.ingestion)
    assert batch
    with changed(world.ingestion, BATCH, lambda body: body["tables"]["staff"].update(key_set_format=2)):
        world.execute(source.connect, "UPDATE staff SET first_name = 'Grace'")
        assert_refused(restored, world.ingest, f"s3://{world.ingestion.name}/{batch.tables['staff'].key_set}")
        assert lake(restored).newest_batch()


def test_a_newer_warehouse_is_refused_by_load_and_the_commands_while_ingest_lands_batches(
    restored: Restored, caplog: pytest.LogCaptureFixture
) -> None:
    world, where = restored.world, "schema etl of the warehouse"
    world.execute(restored.warehouse.connect, "UPDATE etl.format SET format = 2")
    for job in (world.load, lake(restored).progress, lambda: loaded_through(restored.warehouse.credentials)):
        assert_refused(restored, job, where)

    with caplog.at_level(logging.WARNING):
        world.ingest()

    batch = newest_batch(world.ingestion)
    assert batch
    assert batch.seq == 6
    assert f"batch 6 is committed, but it is unknown which batches the warehouse lacks: {where} {NEWER}" in caplog.text
    world.ingestion.delete([layout.manifest_key(6)])
    world.execute(restored.warehouse.connect, "UPDATE etl.format SET format = 1")


@pytest.mark.parametrize("loss", ["DELETE FROM etl.format", "ALTER TABLE etl.format RENAME TO elsewhere"], ids=["no row", "no table"])
def test_a_warehouse_that_does_not_say_its_format_is_not_loaded(restored: Restored, loss: str) -> None:
    world = restored.world
    world.execute(restored.warehouse.connect, loss)
    before = state(restored)
    with pytest.raises(PipelineError, match=r"^schema etl of the warehouse does not say its format in one row of etl\.format"):
        world.load()
    assert state(restored) == before
    back = "INSERT INTO etl.format VALUES (1)" if loss.startswith("DELETE") else "ALTER TABLE etl.elsewhere RENAME TO format"
    world.execute(restored.warehouse.connect, back)


def test_the_pipeline_goes_on_when_the_newer_version_is_back(restored: Restored) -> None:
    """Nothing of the above has harmed it."""
    restored.world.run()
    publish = newest_publish(restored.world.processed)
    assert publish
    assert loaded_through(restored.warehouse.credentials) == publish.through_batch_seq
