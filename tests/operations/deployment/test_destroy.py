"""A deployment is removed, all of it or all but its data, and nothing that is not its own; what is kept is taken up again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws
from totesys.errors import FatalError

from operations.cli.confirm import confirm
from operations.deployment.buckets import delete_bucket
from tests.conftest import Database
from tests.support.stack import DeployedStack, local_stack

PROJECT = "doomed"  # roles are the server's: another project of the same server has others
NOT_OURS = "somebody-elses"


@pytest.fixture(scope="module")
def doomed(tmp_path_factory: pytest.TempPathFactory, two_databases: Callable[[], tuple[Database, Database]]) -> Iterator[DeployedStack]:
    """A stack of this module's own, beside a bucket, a database and a secret that are not its own; with two versions of one object."""
    with local_stack(tmp_path_factory.mktemp("destroy"), *two_databases(), PROJECT) as stack:
        stack.aws.s3.create_bucket(Bucket=NOT_OURS, CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
        stack.aws.s3.put_object(Bucket=NOT_OURS, Key="key", Body=b"theirs")
        stack.aws.glue.create_database(DatabaseInput={"Name": "somebody_elses"})
        stack.aws.client("secretsmanager").create_secret(Name=f"{PROJECT}-other/source", SecretString="theirs")
        for body in (b"old", b"new"):
            stack.aws.s3.put_object(Bucket=stack.deployment.ingestion_bucket, Key="staff/file", Body=body)
        yield stack


def left(stack: DeployedStack) -> dict[str, list[str]]:
    """What is in the account, by kind."""
    aws = stack.aws
    return {
        "stacks": [body["StackName"] for body in aws.cloudformation.describe_stacks()["Stacks"]],
        "buckets": [bucket["Name"] for bucket in aws.s3.list_buckets()["Buckets"]],
        "databases": [database["Name"] for database in aws.glue.get_databases()["DatabaseList"]],
        "jobs": [job["Name"] for job in aws.glue.get_jobs()["Jobs"]],
        "secrets": [secret["Name"] for secret in aws.client("secretsmanager").list_secrets()["SecretList"]],
        "log groups": [group["logGroupName"] for group in aws.logs.describe_log_groups()["logGroups"]],
    }


def test_nothing_is_removed_unless_somebody_confirms_it(doomed: DeployedStack) -> None:
    before = left(doomed)
    done = doomed.script("destroy.sh")
    assert (done.returncode, left(doomed)) == (2, before)
    assert "nobody is here to confirm that all of it, raw data included, goes: say --yes" in done.stderr


@pytest.mark.parametrize(("typed", "is_confirmed"), [(PROJECT, True), ("yes", False)])
def test_a_person_confirms_by_the_projects_name(monkeypatch: pytest.MonkeyPatch, typed: str, is_confirmed: bool) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda prompt: typed)
    if is_confirmed:
        confirm("all of it goes", "Type its name", PROJECT)
    else:
        with pytest.raises(FatalError, match="not confirmed: nothing was done"):
            confirm("all of it goes", "Type its name", PROJECT)


def test_data_that_is_kept_is_taken_up_by_a_later_deploy(doomed: DeployedStack) -> None:
    secrets, bucket = doomed.aws.client("secretsmanager"), doomed.deployment.ingestion_bucket
    before = secrets.get_secret_value(SecretId=f"{PROJECT}/source")["SecretString"]
    done = doomed.script("destroy.sh", "--keep-data", "--yes")
    assert done.returncode == 0, done.stderr
    assert f"kept: {PROJECT}-ingestion-000000000000-eu-west-2, {PROJECT}-processed-000000000000-eu-west-2, {PROJECT}/source-" in done.stdout
    assert sorted(left(doomed)["stacks"]) == [f"{PROJECT}-catalog", f"{PROJECT}-secrets", f"{PROJECT}-storage"]
    assert left(doomed)["jobs"] == []
    again = doomed.deploy(TOTESYS_SOURCE_URL="", TOTESYS_WAREHOUSE_URL="")
    assert again.returncode == 0, again.stderr
    assert "tables of the Data Catalog: 33 unchanged" in again.stdout
    assert doomed.aws.s3.get_object(Bucket=bucket, Key="staff/file")["Body"].read() == b"new"
    assert secrets.get_secret_value(SecretId=f"{PROJECT}/source")["SecretString"] == before


def test_log_groups_that_other_jobs_write_to_are_kept(doomed: DeployedStack) -> None:
    doomed.aws.glue.create_job(Name=NOT_OURS, Role="role", Command={"Name": "glueetl", "ScriptLocation": "s3://theirs/job.py"})
    try:
        done = doomed.script("destroy.sh", "--keep-data", "--yes")
    finally:
        doomed.aws.glue.delete_job(JobName=NOT_OURS)
    assert "kept, since other jobs of this account write to them" in done.stdout
    assert "/aws-glue/jobs/error" in left(doomed)["log groups"]
    doomed.aws.logs.delete_log_group(logGroupName="/aws-glue/jobs/error")
    assert doomed.deploy().returncode == 0


def test_everything_is_removed_from_where_a_first_try_stopped_and_nothing_else(doomed: DeployedStack) -> None:
    for stack in ("dashboard", "alarms", "workflows"):  # so far it came
        doomed.aws.cloudformation.delete_stack(StackName=f"{PROJECT}-{stack}")
    done = doomed.script("destroy.sh", "--yes")
    assert done.returncode == 0, done.stderr
    found = left(doomed)
    assert (found["stacks"], found["jobs"]) == ([], [])
    assert (found["buckets"], found["databases"], found["secrets"]) == ([NOT_OURS], ["somebody_elses"], [f"{PROJECT}-other/source"])
    assert doomed.aws.s3.get_object(Bucket=NOT_OURS, Key="key")["Body"].read() == b"theirs"
    again = doomed.script("destroy.sh", "--yes")
    assert (again.returncode, again.stdout) == (0, f"destroy: nothing of {PROJECT} is deployed in eu-west-2\n")


def test_a_bucket_is_emptied_of_more_versions_and_markers_than_one_page_holds() -> None:
    with mock_aws():
        s3: Any = boto3.client("s3", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
        s3.create_bucket(Bucket="bucket")
        s3.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})
        keys = [f"{number}" for number in range(501)]
        for key in keys:
            s3.put_object(Bucket="bucket", Key=key, Body=b"")
        s3.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": key} for key in keys]})
        assert delete_bucket(s3, "bucket") == 1002
        assert s3.list_buckets()["Buckets"] == []
        assert delete_bucket(s3, "bucket") == 0, "a second time it is not there"
