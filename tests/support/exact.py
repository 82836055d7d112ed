"""Whether nothing is lost and nothing there twice: the warehouse, the lake and the catalog against the source and what was done to it."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import time
from typing import Any

import pyarrow.parquet as pq
from psycopg2 import sql
from totesys.contracts import Contract, load_contracts
from totesys.lake import layout
from totesys.lake.manifests import BatchManifest, PartitionState, PublishManifest, newest_publish
from totesys.lake.store import Bucket

from operations.reconcile.compare import compare_all
from tests.conftest import Database
from tests.support.world import World

Versions = Counter[tuple[str, int]]  # (fact, key) -> how many versions of it there must be
Places = dict[tuple[str, ...], str]  # values of a partition -> where it points to


@dataclass
class Findings:
    """What is not exact: versions that are missing, versions that are there too often, and in words everything that is wrong."""

    lost: int = 0
    duplicated: int = 0
    problems: list[str] = field(default_factory=list)


@dataclass
class Checker:
    """Looks at a world past its proxies. What never changes, manifests and data files, is read once."""

    world: World
    client: Any
    source: Database
    warehouse: Database
    _read: dict[tuple[str, str], Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        s3 = self.client("s3")
        self.glue = self.client("glue")
        self.ingestion, self.processed = (Bucket(s3, bucket.name) for bucket in (self.world.ingestion, self.world.processed))

    def findings(self, expected: Versions) -> Findings:
        """Everything that is not exact after an ordinary run."""
        found = Findings()
        publish = newest_publish(self.processed)
        assert publish, "nothing was ever published"
        with closing(self.source.connect()) as source, closing(self.warehouse.connect()) as warehouse:
            self._compare_with_source(found, source, warehouse)
            self._compare_versions(found, warehouse, expected)
            self._compare_with_lake(found, warehouse, publish)
            self._find_staging(found, warehouse)
        self._compare_catalog(found, publish)
        return found

    def _compare_with_source(self, found: Findings, source: Any, warehouse: Any) -> None:
        for comparison in compare_all(load_contracts(), source, warehouse):
            found.problems += [str(difference) for difference in comparison.listed]

    def _compare_versions(self, found: Findings, warehouse: Any, expected: Versions) -> None:
        held: Versions = Counter()
        for fact in load_contracts().facts.values():
            query = sql.SQL("SELECT {key}, count(*) FROM {table} GROUP BY 1").format(
                key=sql.Identifier(fact.lake_key), table=sql.Identifier(fact.table)
            )
            held.update({(fact.table, key): count for key, count in _rows(warehouse, query)})
        lost, duplicated = expected - held, held - expected
        found.lost, found.duplicated = lost.total(), duplicated.total()
        found.problems += [f"{fact} {key}: {count} versions lost" for (fact, key), count in lost.items()]
        found.problems += [f"{fact} {key}: {count} versions too many" for (fact, key), count in duplicated.items()]

    def _compare_with_lake(self, found: Findings, warehouse: Any, publish: PublishManifest) -> None:
        for fact in load_contracts().facts.values():
            names = [column.name for column in fact.lake_columns]
            query = sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ").join(map(sql.Identifier, names)), sql.Identifier(fact.table))
            held = Counter(tuple(_as_in_lake(value) for value in row) for row in _rows(warehouse, query))
            published: Counter[tuple[Any, ...]] = Counter()
            for state in publish.star[fact.table].values():
                published.update(self._lake_rows(state, fact))
            if held != published:
                missing, extra = (published - held).total(), (held - published).total()
                found.problems.append(f"{fact.table}: the warehouse lacks {missing} versions of the lake, and has {extra} that it lacks")

    def _lake_rows(self, state: PartitionState, fact: Contract) -> Iterator[tuple[Any, ...]]:
        names = [column.name for column in fact.lake_columns]
        for key, _ in self.processed.objects(state.prefix):
            if key.endswith(".parquet"):
                yield from self._once(self.processed, key, lambda body: list(zip(*_columns(body, names))))

    def _find_staging(self, found: Findings, warehouse: Any) -> None:
        query = sql.SQL("SELECT tablename FROM pg_tables WHERE schemaname = 'etl' AND tablename LIKE 'staging%'")
        found.problems += [f"staging table {table} is left over" for (table,) in _rows(warehouse, query)]

    def _compare_catalog(self, found: Findings, publish: PublishManifest) -> None:
        """What Athena sees: of the lake the newest publish and nothing else, of raw data the committed batches and nothing else."""
        transform = self.world.transform_arguments
        wanted: dict[tuple[str, str], Places] = {}
        for database, tables in ((transform.mirror_database, publish.mirror), (transform.star_database, publish.star)):
            for table, states in tables.items():
                wanted[database, table] = {(value,): layout.uri(self.processed.name, state.prefix) for value, state in states.items()}
        raw: dict[str, Places] = {table: {} for table in load_contracts().source}
        for batch in self.batches():
            for table, capture in batch.tables.items():
                if capture.rows:
                    prefix = layout.raw_prefix(table, batch.ingest_date, batch.batch_id)
                    raw[table][batch.ingest_date, batch.batch_id] = layout.uri(self.ingestion.name, prefix)
        wanted.update({(self.world.ingest_arguments.ingestion_database, table): places for table, places in raw.items()})
        for (database, table), places in wanted.items():
            seen = self._partitions(database, table)
            if seen != places:
                found.problems.append(f"{database}.{table}: the catalog shows {_differences(seen, places)}")

    def batches(self) -> list[BatchManifest]:
        """Every committed batch, newest first."""
        return [
            self._once(self.ingestion, key, lambda body: BatchManifest.parse(json.loads(body)))
            for key, _ in self.ingestion.objects(layout.MANIFESTS)
        ]

    def _partitions(self, database: str, table: str) -> Places:
        pages = self.glue.get_paginator("get_partitions").paginate(DatabaseName=database, TableName=table)
        return {tuple(one["Values"]): one["StorageDescriptor"]["Location"] for page in pages for one in page["Partitions"]}

    def _once(self, bucket: Bucket, key: str, parse: Callable[[bytes], Any]) -> Any:
        if (bucket.name, key) not in self._read:
            self._read[bucket.name, key] = parse(bucket.get(key))
        return self._read[bucket.name, key]


def assert_exact(checker: Checker, expected: Versions) -> None:
    """Fails with everything that is not exact."""
    found = checker.findings(expected)
    assert not found.problems, "\n".join(found.problems)


def _rows(connection: Any, query: sql.Composable) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())


def _columns(body: bytes, names: list[str]) -> list[list[Any]]:
    return list(pq.ParquetFile(io.BytesIO(body)).read(names).select(names).to_pydict().values())


def _as_in_lake(value: Any) -> Any:
    return value.isoformat("milliseconds") if isinstance(value, time) else value


def _differences(seen: Places, wanted: Places) -> str:
    orphans = [f"{values} at {place}" for values, place in seen.items() if wanted.get(values) != place]
    missing = [f"{values} at {place}" for values, place in wanted.items() if seen.get(values) != place]
    return f"{', '.join(orphans) or 'nothing'} instead of {', '.join(missing) or 'nothing'}"
