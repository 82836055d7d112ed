"""A deployed pipeline in this process, whose contract files a test edits as a person does."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

from totesys.contracts import MIRROR_LINEAGE, load_contracts
from totesys.contracts.registry import registered_contracts
from totesys.ingest.job import run as run_ingest
from totesys.ingest.source import open_source
from totesys.lake.manifests import newest_publish
from totesys.runtime.run_request import ORDINARY_RUN
from totesys.transform.spark_lake import SparkLake

from operations.deployment.compatible import check_contracts
from operations.deployment.register import register_tables
from operations.registry.propose import propose
from tests.support.world import World


def change(catalog: Path, path: str, **columns: dict[str, Any]) -> None:
    """Edits columns of a contract file, and raises its version."""
    body = json.loads((catalog / path).read_text("utf-8"))
    changed = [{**column, **columns.get(column["name"], {})} for column in body["columns"]]
    (catalog / path).write_text(json.dumps({**body, "columns": changed, "version": body["version"] + 1}), "utf-8")


def propose_from_source(world: World, catalog: Path, table: str) -> list[str]:
    """What `scripts/totesys schema propose TABLE --write` does; the notes."""
    path = catalog / "source" / f"{table}.json"
    body = json.loads(path.read_text("utf-8"))
    with open_source(world.source) as source:
        draft, notes, left_out = propose(body, source.structure([table])[table], body["version"] + 1)
    path.write_text(json.dumps(draft), "utf-8")
    return [*notes, *left_out]


def deploy(world: World, **environment: str) -> dict[str, int]:
    """What scripts/deploy.sh does of contracts."""
    load_contracts.cache_clear()
    arguments = world.transform_arguments
    databases = {
        "ingestion": world.ingest_arguments.ingestion_database, "mirror": arguments.mirror_database,
        "star": arguments.star_database,
    }  # fmt: skip
    check_contracts(world.clients.glue, load_contracts(), databases, environment)
    return dict(register_tables(world.clients.glue, load_contracts(), databases, world.ingestion.name, world.processed.name))


def ingest(world: World) -> None:
    registered = registered_contracts(world.clients.glue, world.ingest_arguments.ingestion_database)
    run_ingest(world.ingest_arguments, world.clients, registered, ORDINARY_RUN)


def tick(world: World) -> None:
    ingest(world)
    world.transform()
    world.load()


def lake(world: World) -> SparkLake:
    return SparkLake(world.spark, world.ingestion.name, world.processed.name)


def mirror(world: World, table: str) -> list[dict[str, Any]]:
    """The rows of a source table's mirror, in the order of keys, as the newest publish has them."""
    contract, publish = load_contracts().source[table], newest_publish(world.processed)
    assert publish
    rows = lake(world).read(contract, (*contract.columns, *MIRROR_LINEAGE), publish.mirror[table].values())
    return [row.asDict() for row in rows.orderBy(contract.key).collect()]


def query(connect: Any, statement: str) -> list[tuple[Any, ...]]:
    with closing(connect()) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())
