"""One Spark session and one S3 endpoint for all tests that use Spark: a process has one JVM, and it knows one endpoint."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from totesys.lake.store import Bucket
from totesys.runtime.spark_session import spark_session

from local_aws.glue.spark import spark_environment
from tests.support.local_aws.machine import LocalAws, free_port, start, stop


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """The local AWS, for S3 and Secrets Manager."""
    local_dir, port = tmp_path_factory.mktemp("aws"), free_port()
    machine = start([sys.executable, "-m", "local_aws", "--port", str(port), "--local-dir", str(local_dir)], local_dir, port)
    yield machine
    stop(machine)


@pytest.fixture(scope="session")
def job_environment(aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a job's process."""
    return spark_environment(tmp_path_factory.mktemp("spark"), aws.endpoint)


# Several processes run tests at once, each with a session.
_HEAP = {"spark.driver.memory": "1g"}

# For a few rows, compiling Spark's plans takes half the time, and printing them for nobody some more. The jobs' own processes, in
# tests/acceptance, compile them.
_INTERPRETED = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.ui.explainMode": "simple",
    "spark.sql.debug.maxToStringFields": "1",
    "spark.sql.maxPlanStringLength": "0",
}


def session_environment(conf_dir: Path, endpoint: str) -> dict[str, str]:
    """The environment of a session for many publishes of a few rows."""
    return spark_environment(conf_dir, endpoint, {**_HEAP, **_INTERPRETED})


@pytest.fixture(scope="session")
def spark(aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> SparkSession:
    environment = session_environment(tmp_path_factory.mktemp("session"), aws.endpoint)
    with pytest.MonkeyPatch.context() as patch:  # only while the JVM starts: other folders' tests have an AWS of their own
        for name, value in environment.items():
            patch.setenv(name, value)
        return spark_session("tests")


@pytest.fixture(scope="session")
def new_bucket(aws: LocalAws) -> Callable[[], Bucket]:
    numbers = count(1)

    def create() -> Bucket:
        name = f"bucket-{next(numbers)}"
        aws.s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
        return Bucket(aws.s3, name)

    return create
