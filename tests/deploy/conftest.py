"""One stack for all tests of this folder: a local AWS, a source without rows, an empty warehouse, and the real script run once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from local_aws.spark import aws_environment
from local_totesys.postgres import PostgresServer
from operations.deployment import Deployment
from tests.conftest import Database
from tests.local_aws.machine import LocalAws, free_port, start, stop

SCRIPT = Path(__file__).parents[2] / "scripts" / "deploy.sh"
PROJECT = "deploy-test"


@dataclass(frozen=True)
class Stack:
    """What the deploy has made, and all that it was given."""

    aws: LocalAws
    source: Database
    warehouse: Database
    first_run: subprocess.CompletedProcess[str]

    @property
    def session(self) -> boto3.Session:
        return local_session(self.aws)

    @property
    def deployment(self) -> Deployment:
        return Deployment.read(self.session, PROJECT)

    def deploy(self, **variables: str) -> subprocess.CompletedProcess[str]:
        return deploy(self.aws, self.source, self.warehouse, **variables)


def deploy(aws: LocalAws, source: Database, warehouse: Database, **variables: str) -> subprocess.CompletedProcess[str]:
    """The script in the environment of a local stack, with these variables beside or instead."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TOTESYS_"))}
    urls = {"TOTESYS_PROJECT": PROJECT, "TOTESYS_SOURCE_URL": source.url, "TOTESYS_WAREHOUSE_URL": warehouse.url}
    environment = {**inherited, **aws_environment(aws.endpoint), **urls, **variables}
    return subprocess.run([str(SCRIPT)], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def local_session(aws: LocalAws) -> boto3.Session:
    """A session whose clients all go to the local AWS, whatever the environment says."""
    session = boto3.Session("test", "test", region_name="eu-west-2")
    session.client = lambda service: aws.client(service)  # type: ignore[method-assign]
    return session


@pytest.fixture(scope="session")
def stack(
    tmp_path_factory: pytest.TempPathFactory,
    postgres: PostgresServer,
    source_template: str,
    warehouse_template: str,
    new_database: Callable[[str], str],
) -> Iterator[Stack]:
    local_dir, port = tmp_path_factory.mktemp("deploy"), free_port()
    aws = start([sys.executable, "-m", "local_aws", "--port", str(port), "--local-dir", str(local_dir)], local_dir, port)
    try:
        source, warehouse = Database(postgres, new_database(source_template)), Database(postgres, new_database(warehouse_template))
        yield Stack(aws, source, warehouse, deploy(aws, source, warehouse))
    finally:
        stop(aws)
