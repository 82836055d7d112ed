"""Ingest against a real PostgreSQL, through a role that may only SELECT, and moto for AWS."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from functools import cache, partial
from typing import Any

import boto3
import jsonpath_ng.ext
import pyarrow.parquet as pq
import pytest
from botocore.config import Config
from moto import mock_aws
from psycopg2 import sql
from totesys.contracts import RAW_LINEAGE, Contract, load_contracts
from totesys.ingest.job import IngestClients, run
from totesys.lake import layout
from totesys.lake.manifests import BatchManifest, newest_batch
from totesys.lake.store import Bucket
from totesys.runtime.arguments import IngestArguments
from totesys.runtime.run_request import RunRequest
from totesys.runtime.secrets import Credentials

from local_totesys.postgres import PostgresServer
from local_totesys.schema import create_source
from tests.conftest import Database
from tests.ingest.designs import insert
from tests.support.servers import guarded, postgres_server

RAW, PROCESSED, DATABASE, PUBLISH, INGEST = "raw", "processed", "ingestion", "totesys-publish", "totesys-ingest"
SECRET, WAREHOUSE_SECRET = "totesys/source", "totesys/warehouse"
ANNOUNCEMENTS, ALERTS = "announcements", "alerts"
READER_PASSWORD = "s3cret-of-the-reader"


class Ingest:
    """The deployed ingest job as a test sees it."""

    def __init__(self, source: Any, clients: IngestClients, sqs: Any, queues: Mapping[str, str], credentials: Credentials) -> None:
        self.source = source
        self.clients = clients
        self.sqs = sqs
        self.queues = queues
        self.credentials = credentials
        self.contracts: Mapping[str, Contract] = load_contracts().source
        self.arguments = IngestArguments("totesys", RAW, PROCESSED, DATABASE, SECRET, WAREHOUSE_SECRET, PUBLISH)
        self.raw = Bucket(clients.s3, RAW)
        self.processed = Bucket(clients.s3, PROCESSED)

    def only(self, *tables: str) -> Ingest:
        """Ingest of these tables alone."""
        self.contracts = {table: load_contracts().source[table] for table in tables}
        return self

    def put_secret(self, credentials: Credentials, secret: str = SECRET) -> None:
        body = {name: getattr(credentials, name) for name in ("host", "port", "dbname", "username", "password", "sslmode")}
        self.clients.secretsmanager.put_secret_value(SecretId=secret, SecretString=json.dumps(body))

    def grant(self) -> None:
        """Gives the reader SELECT on the eleven tables and nothing else."""
        self.execute(
            "GRANT USAGE ON SCHEMA public TO ingest_reader", f"GRANT SELECT ON {', '.join(load_contracts().source)} TO ingest_reader"
        )

    def read_from(self, server: PostgresServer) -> None:
        """Lets the job read the database of that name of another server; what a test does at the source it still does at the first."""
        self.put_secret(replace(self.credentials, port=server.port))

    def move_to(self, source: Database) -> None:
        """Makes another database the source."""
        self.source = source
        self.credentials = replace(self.credentials, port=source.server.port, dbname=source.dbname)
        self.put_secret(self.credentials)

    def tick(self, *, full: bool = False, accept_deletes: Collection[str] = (), replay: Collection[str] = ()) -> BatchManifest:
        """One run; the newest batch after it."""
        request = RunRequest(full=full, accept_deletes=frozenset(accept_deletes), replay=frozenset(replay))
        run(self.arguments, self.clients, self.contracts, request)
        return self.newest()

    def newest(self) -> BatchManifest:
        batch = newest_batch(self.raw)
        assert batch is not None
        return batch

    def rows(self, batch: BatchManifest, table: str) -> list[dict[str, Any]]:
        """What a batch landed of a table, in the order of keys."""
        files = [self.raw.get(landed.key) for landed in batch.tables[table].files]
        rows = [row for body in files for row in pq.ParquetFile(io.BytesIO(body)).read().to_pylist()]
        return sorted(rows, key=lambda row: row[self.contracts[table].key])

    def keys(self, batch: BatchManifest, table: str) -> list[int]:
        return [row[self.contracts[table].key] for row in self.rows(batch, table)]

    def landed(self, seq: int, table: str) -> list[int]:
        """The keys that a batch landed of a table, by the batch's number."""
        batch = BatchManifest.parse(self.raw.get_json(layout.manifest_key(seq)))
        return self.keys(batch, table) if table in batch.tables else []

    def letters(self, table: str) -> list[Any]:
        """The keys of a table's rows in the dead letter, in the order in which they came there."""
        objects = sorted(key for key, _ in self.raw.objects(f"dead_letter/{table}/ingest_date="))
        return [json.loads(line)["key"] for key in objects for line in self.raw.get(key).decode().splitlines()]

    def partitions(self, table: str) -> dict[tuple[str, ...], str]:
        """Values and location of a raw table's partitions in the Data Catalog."""
        found = self.clients.glue.get_partitions(DatabaseName=DATABASE, TableName=table)["Partitions"]
        return {tuple(partition["Values"]): partition["StorageDescriptor"]["Location"] for partition in found}

    def announced(self) -> list[int]:
        """The batches announced since the last look."""
        return [event["detail"]["batch_seq"] for event in self._heard(ANNOUNCEMENTS)]

    def alerts(self) -> list[tuple[str, str]]:
        """Kind and table of the alerts since the last look."""
        return [(event["detail-type"], event["detail"]["table"]) for event in self._heard(ALERTS)]

    def _heard(self, queue: str) -> list[dict[str, Any]]:
        messages = self.sqs.receive_message(QueueUrl=self.queues[queue], MaxNumberOfMessages=10).get("Messages", [])
        for message in messages:
            self.sqs.delete_message(QueueUrl=self.queues[queue], ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"]) for message in messages]

    def execute(self, *statements: str) -> None:
        """Commits statements at the source, as the application does."""
        with closing(self.source.connect()) as connection, connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def execute_as_superuser(self, *statements: str) -> None:
        """Commits statements at the source that its owner may not run."""
        self.source.execute_as_superuser(*statements)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Asks the source."""
        with closing(self.source.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())


@pytest.fixture
def designs(ingest: Ingest) -> Ingest:
    """Ingest of the table design alone, with designs 1, 2 and 3 read already."""
    ingest.only("design").execute(insert(1, 2, 3))
    assert ingest.keys(ingest.tick(), "design") == [1, 2, 3]
    return ingest


@pytest.fixture
def designs_elsewhere(ingest: Ingest, elsewhere: PostgresServer) -> Ingest:
    """The same on the other server."""
    source = Database(elsewhere, f"{ingest.source.dbname}_elsewhere")
    elsewhere.create_database(source.dbname)
    with closing(source.connect()) as connection:
        create_source(connection)
    ingest.move_to(source)
    ingest.grant()
    ingest.only("design").execute(insert(1, 2, 3))
    assert ingest.keys(ingest.tick(), "design") == [1, 2, 3]
    return ingest


@pytest.fixture(scope="session")
def standby(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A hot standby of the session's server, which keeps its log for as long as a standby on a busy machine may lag."""
    folder = tmp_path_factory.mktemp("standby")
    with closing(postgres.connect_as_superuser("postgres")) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("ALTER SYSTEM SET wal_keep_size = '4GB'")
        cursor.execute("SELECT pg_reload_conf()")
    with guarded(folder):
        yield PostgresServer.standby_of(postgres, folder)


@pytest.fixture(scope="session")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """Another server, which tests may stop and crash; one of them finds it running, with nothing but the reader's role."""
    with postgres_server(tmp_path_factory.mktemp("elsewhere")) as server:
        create_reader(server)
        yield server


@pytest.fixture(scope="session")
def reader(postgres: PostgresServer) -> str:
    """The name of a role that has no right of its own yet."""
    return create_reader(postgres)


def create_reader(server: PostgresServer) -> str:
    """Creates the role as the deploy does: by the owner, who may change it therefore."""
    with closing(server.connect("postgres")) as connection, connection, connection.cursor() as cursor:
        cursor.execute(sql.SQL("CREATE ROLE ingest_reader LOGIN PASSWORD {}").format(sql.Literal(READER_PASSWORD)))
    return "ingest_reader"


@pytest.fixture(scope="session")
def paths_parsed_once() -> Iterator[None]:
    """moto generates a parser of JSON paths, of which it knows eight, again for each field of each event: half of these tests' time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonpath_ng.ext, "parse", cache(jsonpath_ng.ext.parse))
        yield


@pytest.fixture(scope="session")
def client(paths_parsed_once: None) -> Callable[[str], Any]:
    """Makes clients for moto, each once in all tests: to read a service's model takes longer than most tests."""
    session = boto3.Session("testing", "testing", region_name="eu-west-2")
    return cache(partial(session.client, config=Config(ignore_configured_endpoint_urls=True)))


@pytest.fixture(scope="session")
def never_loaded(postgres: PostgresServer, warehouse_template: str, new_database: Callable[[str], str]) -> Database:
    """A warehouse that all tests share, and that nothing is ever loaded into."""
    return Database(postgres, new_database(warehouse_template))


@pytest.fixture
def ingest(source: Any, never_loaded: Database, reader: str, client: Callable[[str], Any]) -> Iterator[Ingest]:
    """A source without rows, empty buckets, a warehouse never loaded, and a role with SELECT on the eleven tables and nothing else."""
    with mock_aws():
        clients = IngestClients(*(client(name) for name in ("s3", "glue", "events", "secretsmanager")))
        sqs = client("sqs")
        ingest = Ingest(source, clients, sqs, deploy(clients, sqs), replace(source.credentials, username=reader, password=READER_PASSWORD))
        ingest.put_secret(ingest.credentials)
        ingest.put_secret(never_loaded.credentials, WAREHOUSE_SECRET)
        ingest.grant()
        yield ingest


def deploy(clients: IngestClients, sqs: Any) -> dict[str, str]:
    """Makes what the job needs, and queues that hear its events; returns their addresses by name."""
    for bucket in (RAW, PROCESSED):
        clients.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
    clients.glue.create_database(DatabaseInput={"Name": DATABASE})
    for table, contract in load_contracts().source.items():
        columns = [{"Name": column.name, "Type": column.type} for column in (*contract.columns, *RAW_LINEAGE)]
        keys = [{"Name": "ingest_date", "Type": "string"}, {"Name": "batch_id", "Type": "string"}]
        descriptor = {"Columns": columns, "Location": f"s3://{RAW}/{table}/"}
        clients.glue.create_table(DatabaseName=DATABASE, TableInput={"Name": table, "PartitionKeys": keys, "StorageDescriptor": descriptor})
    for workflow in (INGEST, PUBLISH):
        clients.glue.create_workflow(Name=workflow)
    for secret in (SECRET, WAREHOUSE_SECRET):
        clients.secretsmanager.create_secret(Name=secret)
    patterns = {
        ANNOUNCEMENTS: {"source": ["totesys.ingest"], "detail-type": ["batch pending"], "detail": {"publish_workflow": [PUBLISH]}},
        ALERTS: {"source": ["totesys.alert"]},
    }
    queues = {name: sqs.create_queue(QueueName=name)["QueueUrl"] for name in patterns}
    for name, pattern in patterns.items():
        arn = sqs.get_queue_attributes(QueueUrl=queues[name], AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        clients.events.put_rule(Name=name, EventPattern=json.dumps(pattern))
        clients.events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])
    return queues
