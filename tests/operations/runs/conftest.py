"""Glue with runs that a test lays down, over buckets that are empty before each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws
from totesys.lake.store import Bucket

from operations import lake as operations_lake
from operations.deployment import Deployment
from operations.run import workflows
from operations.schedule import trigger
from tests.operations.runs.glue import DEPLOYMENT, Ended, Glue, Lake, Session


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
        for bucket in ("ingestion", "processed"):
            client.create_bucket(Bucket=bucket)
        yield client


@pytest.fixture
def lake(s3: Any) -> Iterator[Lake]:
    lake = Lake(Bucket(s3, "ingestion"), Bucket(s3, "processed"))
    yield lake
    for bucket in (lake.ingestion, lake.processed):
        for key, _ in list(bucket.objects("")):
            s3.delete_object(Bucket=bucket.name, Key=key)


@pytest.fixture
def glue(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Glue:
    monkeypatch.setattr(workflows, "_FIRST_POLL", 0.0)
    monkeypatch.setattr(trigger, "_POLL", 0.0)
    monkeypatch.setattr(operations_lake, "read_credentials", lambda client, secret: secret)
    monkeypatch.setattr(operations_lake, "loaded_through", lambda credentials: lake.ask())
    return Glue(lake)


@pytest.fixture
def command(glue: Glue, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Runs the `main` of a command's module with options."""
    monkeypatch.setattr(Deployment, "read", lambda session: DEPLOYMENT)

    def run(module: Any, *options: str) -> Ended:
        monkeypatch.setattr(module, "aws_session", lambda: Session(glue))
        code = module.main(options)
        printed = capsys.readouterr()
        return Ended(code, printed.out.splitlines(), printed.err)

    return run
