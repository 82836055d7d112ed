"""A pipeline as a release left it: its lake and its warehouse from the golden archive, and the source that they were made of."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession
from totesys.contracts import load_contracts
from totesys.ingest.source import open_source
from totesys.lake import layout
from totesys.lake.manifests import read_batch
from totesys.lake.pointers import register_batch

from tests.conftest import Database
from tests.support.local_aws.machine import LocalAws
from tests.support.world import World

RELEASE = Path(__file__).parent / "golden" / "0.2.0"
_BATCHES = 5  # in the archive


@dataclass(frozen=True)
class Restored:
    """A restored pipeline: three loads, four publishes, five batches."""

    world: World
    source: Database
    warehouse: Database

    def at_source(self, *statements: str) -> None:
        """Commits statements, in one transaction."""
        self.world.execute(self.source.connect, *statements)

    def keep_source(self) -> None:
        """Let the restored source pass for the one that the newest batch was read from: its ids and its transactions are this server's."""
        world, key = self.world, layout.manifest_key(_BATCHES)
        contracts = load_contracts().source
        with open_source(world.source) as source:
            for table in contracts:
                source.lock(table)
            snapshot, tables = source.snapshot(), source.structure(list(contracts), set())
        body = json.loads(world.ingestion.get(key))
        body |= {"source": asdict(snapshot.identity), "snapshot": snapshot.text, "snapshot_lsn": 0, "observed": {}}
        for table, capture in body["tables"].items():
            at = snapshot.taken_at
            capture |= {"table_oid": tables[table].oid, "capture_xmin": snapshot.xmin, "captured_at": at, "full_at": at}
        for table, held in body["held"].items():
            held |= {"table_oid": tables[table].oid, "judged_xmin": snapshot.xmin}
        world.ingestion.put(key, json.dumps(body).encode())


def restore(spark: SparkSession, aws: LocalAws, new_database: Callable[[], Database]) -> Restored:
    """Restore the archive into new buckets and databases."""
    with tarfile.open(RELEASE / "pipeline.tar.gz") as archive:
        files = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    source, warehouse = new_database(), new_database()
    run_sql(source, files.pop("source.sql").decode())
    run_sql(warehouse, files.pop("warehouse.sql").decode())
    spark.sparkContext._jsc.hadoopConfiguration().set("fs.s3a.endpoint", aws.endpoint)
    world = World(spark, aws.client, source.credentials, warehouse.credentials)
    world.deploy()
    buckets = {"ingestion": world.ingestion, "processed": world.processed}
    for name, body in files.items():
        folder, _, key = name.partition("/")
        buckets[folder].put(key, body)
    for seq in range(1, _BATCHES + 1):
        register_batch(
            world.clients.glue, world.ingest_arguments.ingestion_database, read_batch(world.ingestion, seq), world.ingestion.name
        )
    return Restored(world, source, warehouse)


def run_sql(database: Database, script: str) -> None:
    """Run a dump, as the owner."""
    with closing(database.connect()) as connection, connection, connection.cursor() as cursor:
        cursor.execute(script)


def query(database: Database, statement: str) -> Collection[tuple[Any, ...]]:
    """Return the rows of a statement."""
    with closing(database.connect()) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())
