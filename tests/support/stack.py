"""One stack for all tests of deploying and of saved queries: a local AWS, a source without rows, an empty warehouse, and the real script
run once."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from totesys.contracts import Column
from totesys.contracts.arrow_types import arrow_schema

from local_aws.environment import aws_environment
from local_totesys.postgres import PostgresServer
from operations.athena import ask
from operations.deployment.deployment import Deployment
from operations.deployment.stacks import STACKS
from tests.conftest import Database
from tests.support.local_aws.machine import LocalAws, free_port, start, stop

SCRIPTS = Path(__file__).parents[2] / "scripts"
PROJECT = "deploy-test"


@dataclass(frozen=True)
class DeployedStack:
    """What the deploy has made, and all that it was given."""

    aws: LocalAws
    source: Database
    warehouse: Database
    first_run: subprocess.CompletedProcess[str]
    project: str = PROJECT

    @property
    def session(self) -> boto3.Session:
        return local_session(self.aws)

    @property
    def deployment(self) -> Deployment:
        return Deployment.read(self.session, self.project)

    def ask(self, statement: str) -> list[tuple[str | None, ...]]:
        """Athena's answer."""
        deployment = self.deployment
        answer = ask(self.aws.client("athena"), deployment, statement, deployment.star_database)
        return [tuple(row) for row in answer.rows]

    @contextmanager
    def partition(
        self, database: str, table: str, value: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]
    ) -> Iterator[None]:
        """These rows of Parquet, where a new partition of the table points; gone from the catalog afterwards."""
        file = io.BytesIO()
        pq.write_table(pa.Table.from_pylist([dict(row) for row in rows], arrow_schema(columns)), file)
        bucket, prefix = self.deployment.processed_bucket, f"{database}/{table}/publish_id=0000000001-0a1b2c3d/{value}/"
        self.aws.s3.put_object(Bucket=bucket, Key=f"{prefix}00000.parquet", Body=file.getvalue())
        place = {"DatabaseName": database, "TableName": table}
        descriptor = self.aws.glue.get_table(DatabaseName=database, Name=table)["Table"]["StorageDescriptor"]
        at_prefix = {**descriptor, "Location": f"s3://{bucket}/{prefix}"}
        self.aws.glue.create_partition(
            **place, PartitionInput={"Values": [value], "StorageDescriptor": at_prefix, "Parameters": {"publish_seq": "1"}}
        )
        try:
            yield
        finally:
            self.aws.glue.delete_partition(**place, PartitionValues=[value])

    def deploy(self, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return self.script("deploy.sh", *options, **variables)

    def totesys(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return self.script("totesys", *words, **variables)

    def script(self, name: str, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return run_script(name, options, self.aws, self.source, self.warehouse, **{"TOTESYS_PROJECT": self.project, **variables})


def run_script(
    name: str, options: Sequence[str], aws: LocalAws, source: Database, warehouse: Database, **variables: str
) -> subprocess.CompletedProcess[str]:
    """A script in the environment of a local stack, with these variables beside or instead."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TOTESYS_"))}
    urls = {"TOTESYS_PROJECT": PROJECT, "TOTESYS_SOURCE_URL": source.url, "TOTESYS_WAREHOUSE_URL": warehouse.url}
    environment = {**inherited, **aws_environment(aws.endpoint), **urls, **variables}
    return subprocess.run(
        [SCRIPTS / name, *options], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def local_session(aws: LocalAws) -> boto3.Session:
    """A session whose clients all go to the local AWS, whatever the environment says."""
    session = boto3.Session("test", "test", region_name="eu-west-2")
    session.client = lambda service: aws.client(service)  # type: ignore[method-assign]
    return session


@contextmanager
def local_stack(local_dir: Path, source: Database, warehouse: Database, project: str = PROJECT) -> Iterator[DeployedStack]:
    """A local AWS with what the script has deployed to it."""
    port = free_port()
    aws = start([sys.executable, "-m", "local_aws", "--port", str(port), "--local-dir", str(local_dir)], local_dir, port)
    try:
        yield DeployedStack(aws, source, warehouse, run_script("deploy.sh", (), aws, source, warehouse, TOTESYS_PROJECT=project), project)
    finally:
        stop(aws)


@pytest.fixture(scope="session")
def two_databases(
    postgres: PostgresServer, source_template: str, warehouse_template: str, new_database: Callable[[str], str]
) -> Callable[[], tuple[Database, Database]]:
    """Makes a source without rows and an empty warehouse."""
    return lambda: (Database(postgres, new_database(source_template)), Database(postgres, new_database(warehouse_template)))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, two_databases: Callable[[], tuple[Database, Database]]) -> Iterator[DeployedStack]:
    with local_stack(tmp_path_factory.mktemp("deploy"), *two_databases()) as deployed:
        yield deployed


@contextmanager
def registered_as(stack: DeployedStack, table: str, body: str, **parameters: str) -> Iterator[None]:
    """The table with another registered contract, and other parameters."""
    glue, place = stack.aws.glue, {"DatabaseName": stack.deployment.ingestion_database}
    found = glue.get_table(**place, Name=table)["Table"]
    kept: dict[str, Any] = {
        name: found[name] for name in ("Name", "Description", "Owner", "TableType", "StorageDescriptor", "PartitionKeys")
    }
    glue.update_table(**place, TableInput={**kept, "Parameters": {**found["Parameters"], "contract": body, **parameters}})
    try:
        yield
    finally:
        glue.update_table(**place, TableInput={**kept, "Parameters": found["Parameters"]})


def versions(stack: DeployedStack) -> dict[str, Any]:
    """All that a deploy could have changed, by a mark that changes with it."""
    deployment = stack.deployment
    glue, secrets, s3 = stack.aws.glue, stack.aws.client("secretsmanager"), stack.aws.s3
    stacks = [stack.aws.cloudformation.describe_stacks(StackName=f"{PROJECT}-{name}")["Stacks"][0] for name in STACKS]
    databases = (deployment.ingestion_database, deployment.mirror_database, deployment.star_database)
    return {
        "stacks": [body.get("LastUpdatedTime") for body in stacks],
        "secrets": [secrets.describe_secret(SecretId=f"{PROJECT}/{name}")["VersionIdsToStages"] for name in ("source", "warehouse")],
        "objects": [(item["Key"], item["LastModified"]) for item in s3.list_objects_v2(Bucket=deployment.artifacts_bucket)["Contents"]],
        "tables": [(table["Name"], table["VersionId"]) for name in databases for table in glue.get_tables(DatabaseName=name)["TableList"]],
        "jobs": [glue.get_job(JobName=name)["Job"]["LastModifiedOn"] for name in (deployment.ingest_job, deployment.load_job)],
    }
