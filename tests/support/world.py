"""One pipeline in this process: real source and warehouse databases, buckets and catalog of the local AWS, the jobs' own code."""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Any

from pyspark.sql import SparkSession
from totesys.contracts import Contract, load_contracts
from totesys.ingest.job import IngestClients
from totesys.ingest.job import run as run_ingest
from totesys.ingest.pending import is_pending
from totesys.lake.catalog_tables import mirror_table_inputs, raw_table_inputs, star_table_inputs
from totesys.lake.manifests import PublishManifest, newest_batch
from totesys.lake.store import Bucket
from totesys.load.job import LoadJob
from totesys.runtime.arguments import IngestArguments, TransformArguments
from totesys.runtime.run_request import ORDINARY_RUN, RunRequest
from totesys.runtime.secrets import Credentials
from totesys.transform.job import TransformClients, TransformJob
from totesys.warehouse.state import loaded_through


@dataclass
class World:
    """A pipeline of its own. `client` makes boto3 clients by service: of the local AWS, or of a proxy before it; Spark goes the same way.

    Databases are the owner's `Credentials`, again of the server itself or of a proxy before it.
    """

    spark: SparkSession
    client: Any
    source: Credentials
    warehouse: Credentials
    registered: dict[str, Contract] = field(default_factory=lambda: dict(load_contracts().source))  # what ingest reads the source by
    name: str = field(default_factory=lambda: f"w{secrets.token_hex(4)}")

    def __post_init__(self) -> None:
        self.clients = IngestClients(*(self.client(service) for service in ("s3", "glue", "events", "secretsmanager")))
        self.ingestion, self.processed = (Bucket(self.clients.s3, f"{self.name}-{kind}") for kind in ("ingestion", "processed"))
        databases = [f"{self.name}_{kind}" for kind in ("ingestion", "mirror", "star")]
        self.ingest_arguments = IngestArguments(
            self.name,
            self.ingestion.name,
            self.processed.name,
            databases[0],
            f"{self.name}/source",
            f"{self.name}/warehouse",
            f"{self.name}-publish",
        )
        self.transform_arguments = TransformArguments(self.name, self.ingestion.name, self.processed.name, *databases[1:])

    def deploy(self) -> None:
        """Makes what the jobs need: buckets, catalog tables, the secrets, the publish workflow."""
        for bucket in (self.ingestion, self.processed):
            self.clients.s3.create_bucket(Bucket=bucket.name, CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
        contracts = load_contracts()
        tables = {
            self.ingest_arguments.ingestion_database: raw_table_inputs(contracts, self.ingestion.name),
            self.transform_arguments.mirror_database: mirror_table_inputs(contracts, self.processed.name),
            self.transform_arguments.star_database: star_table_inputs(contracts, self.processed.name),
        }
        for database, inputs in tables.items():
            self.clients.glue.create_database(DatabaseInput={"Name": database})
            for table in inputs:
                self.clients.glue.create_table(DatabaseName=database, TableInput=table)
        secrets = {self.ingest_arguments.source_secret: self.source, self.ingest_arguments.warehouse_secret: self.warehouse}
        for name, credentials in secrets.items():
            self.clients.secretsmanager.create_secret(Name=name, SecretString=json.dumps(asdict(credentials)))
        self.clients.glue.create_workflow(Name=self.ingest_arguments.publish_workflow)

    def ingest(self, *, full: bool = False, accept_deletes: Collection[str] = (), replay: Collection[str] = ()) -> None:
        """One tick of the ingest job."""
        request = RunRequest(full=full, accept_deletes=frozenset(accept_deletes), replay=frozenset(replay))
        run_ingest(self.ingest_arguments, self.clients, self.registered, request)

    def transform(self, request: RunRequest = ORDINARY_RUN, now: datetime | None = None) -> PublishManifest | None:
        """One run of the transform job, at a UTC time."""
        now = now or datetime.now(timezone.utc)
        clients = TransformClients(self.clients.s3, self.clients.glue, self.clients.events)
        return TransformJob(lambda: self.spark, clients, self.transform_arguments, request, secrets.token_hex(4), now).run()

    def load(self, request: RunRequest = ORDINARY_RUN) -> None:
        """One run of the load job."""
        LoadJob(
            project=self.name, events=self.clients.events,
            processed=self.processed, credentials=self.warehouse, contracts=load_contracts(), spark=lambda: self.spark,
            attempt=secrets.token_hex(4), request=request,
        ).run()  # fmt: skip

    def run(self, **request: Any) -> None:
        """An ordinary run: ingest, transform, load."""
        self.ingest(**request)
        self.transform()
        self.load()

    def tick(self) -> bool:
        """One tick as the triggers make it: a publish starts only when ingest finds that work waits. Whether the tick brought rows."""
        self.ingest()
        newest = newest_batch(self.ingestion)
        assert newest
        if is_pending(newest, loaded_through(self.warehouse)):
            self.transform()
            self.load()
        return newest.has_rows

    def move_warehouse(self, warehouse: Credentials) -> None:
        """Lets the jobs load another database."""
        self.warehouse = warehouse
        self.clients.secretsmanager.put_secret_value(
            SecretId=self.ingest_arguments.warehouse_secret, SecretString=json.dumps(asdict(warehouse))
        )

    def execute(self, connect: Any, *statements: str) -> None:
        """Commits statements by a connection of `connect()`, one transaction in all."""
        with closing(connect()) as connection, connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
