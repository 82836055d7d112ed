"""Glue with runs that a test lays down, over buckets that are empty before each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws
from totesys.lake.store import Bucket

from operations import lake as operations_lake
from operations.deployment.deployment import Deployment
from operations.workflows import runs, trigger
from tests.support.commands import Ended, totesys
from tests.support.glue import DEPLOYMENT, FakeLake, FakeSession, Glue


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
        for bucket in ("ingestion", "processed"):
            client.create_bucket(Bucket=bucket)
        yield client


@pytest.fixture
def lake(s3: Any) -> Iterator[FakeLake]:
    lake = FakeLake(Bucket(s3, "ingestion"), Bucket(s3, "processed"))
    yield lake
    for bucket in (lake.ingestion, lake.processed):
        for key, _ in list(bucket.objects("")):
            s3.delete_object(Bucket=bucket.name, Key=key)


@pytest.fixture
def glue(lake: FakeLake, monkeypatch: pytest.MonkeyPatch) -> Glue:
    monkeypatch.setattr(runs, "_FIRST_POLL", 0.0)
    monkeypatch.setattr(trigger, "_POLL", 0.0)
    monkeypatch.setattr(operations_lake, "read_credentials", lambda client, secret: secret)
    monkeypatch.setattr(operations_lake, "loaded_through", lambda credentials: lake.ask())
    return Glue(lake)


@pytest.fixture
def command(glue: Glue, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Runs a command of scripts/totesys."""
    monkeypatch.setattr(Deployment, "read", lambda session: DEPLOYMENT)

    def run(name: str, *words: str) -> Ended:
        monkeypatch.setattr(f"operations.cli.{name}.aws_session", lambda: FakeSession(glue))
        return totesys(capsys, name, *words)

    return run
