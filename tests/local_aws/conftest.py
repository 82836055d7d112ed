"""One launcher, on a free port, for all tests of this folder."""

import sys
from collections.abc import Iterator

import pytest

from tests.support.local_aws.lake import DATABASE
from tests.support.local_aws.machine import SCRIPTS, LocalAws, free_port, start, stop


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    local_dir, port = tmp_path_factory.mktemp("local_aws"), free_port()
    machine = start([sys.executable, "-m", "local_aws", "--port", str(port), "--local-dir", str(local_dir)], local_dir, port)
    try:
        machine.s3.create_bucket(Bucket=SCRIPTS, CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
        machine.role_of_jobs()
        yield machine
    finally:
        assert stop(machine) == 0


@pytest.fixture(scope="session")
def lake(aws: LocalAws) -> str:
    """A bucket for tables, one for answers, and a database."""
    for bucket in ("lake", "results"):
        aws.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
    aws.glue.create_database(DatabaseInput={"Name": DATABASE})
    return "s3://lake"
