"""The real script against a real local AWS and real databases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
import psycopg2
import pytest
from botocore.exceptions import ClientError
from totesys.errors import FatalError
from totesys.runtime.secrets import Credentials, read_credentials

from local_aws.environment import aws_environment
from operations.deployment.deployment import Deployment
from operations.deployment.parameters import may_create_log_groups
from operations.deployment.proof import look_up, prove_stack
from operations.deployment.templates import Template
from tests.support.commands import totesys
from tests.support.stack import PROJECT, DeployedStack, versions


def test_a_deploy_says_what_it_did_and_shows_no_password(stack: DeployedStack) -> None:
    assert stack.first_run.returncode == 0, stack.first_run.stderr
    assert f"stack {PROJECT}-workflows: created" in stack.first_run.stdout
    assert "tables of the Data Catalog: 33 created" in stack.first_run.stdout
    assert "views of Athena: 3 created" in stack.first_run.stdout
    assert "resources are there, triggers activated" in stack.first_run.stdout
    for name in ("source", "warehouse"):
        assert role_of(stack, name).password not in stack.first_run.stdout + stack.first_run.stderr
    assert stack.source.server.password not in stack.first_run.stdout + stack.first_run.stderr


def test_a_second_deploy_changes_nothing(stack: DeployedStack) -> None:
    before = versions(stack)
    again = stack.deploy()
    assert again.returncode == 0, again.stderr
    assert versions(stack) == before
    assert not [done for done in ("created", "updated", "replaced") if done in again.stdout]


def test_the_proof_starts_a_trigger_that_stands(stack: DeployedStack) -> None:
    stack.aws.glue.stop_trigger(Name=f"{PROJECT}-publish-load")
    assert stack.aws.glue.get_trigger(Name=f"{PROJECT}-publish-load")["Trigger"]["State"] == "DEACTIVATED"
    prove_stack(stack.aws.client, f"{PROJECT}-workflows", Template.read("workflows"))
    assert stack.aws.glue.get_trigger(Name=f"{PROJECT}-publish-load")["Trigger"]["State"] == "ACTIVATED"


def test_a_second_project_lives_beside_the_first_inside_a_vpc_with_a_key_of_its_own(stack: DeployedStack) -> None:
    key = "arn:aws:kms:eu-west-2:000000000000:key/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"
    done = stack.deploy(
        TOTESYS_PROJECT="deploy-vpc", TOTESYS_WORKERS="3", TOTESYS_KMS_KEY_ARN=key,
        TOTESYS_SUBNET_ID="subnet-0a1b2c3d", TOTESYS_SECURITY_GROUP_ID="sg-0a1b2c3d", TOTESYS_AVAILABILITY_ZONE="eu-west-2a",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    glue = stack.aws.glue
    connection = glue.get_connection(Name="deploy-vpc-source")["Connection"]
    assert connection["PhysicalConnectionRequirements"]["SubnetId"] == "subnet-0a1b2c3d"
    assert glue.get_job(JobName="deploy-vpc-ingest")["Job"]["Connections"] == {"Connections": ["deploy-vpc-source"]}
    assert glue.get_job(JobName="deploy-vpc-load")["Job"]["NumberOfWorkers"] in (3, "3")  # the local AWS keeps a parameter's text
    assert "Connections" not in glue.get_job(JobName=f"{PROJECT}-ingest")["Job"]
    assert [statement["Resource"] for statement in key_policy(stack, "deploy-vpc")] == [key]
    assert key_policy(stack, PROJECT) == []


def key_policy(stack: DeployedStack, project: str) -> list[dict[str, Any]]:
    """What ingest may do with a key: the local AWS keeps no bucket's encryption."""
    iam, role = stack.aws.client("iam"), f"{project}-ingest-eu-west-2"
    if "key" not in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        return []
    statements: list[dict[str, Any]] = iam.get_role_policy(RoleName=role, PolicyName="key")["PolicyDocument"]["Statement"]
    return statements


def test_log_groups_that_another_project_has_made_are_left_to_it(stack: DeployedStack) -> None:
    assert may_create_log_groups(stack.session, f"{PROJECT}-jobs")
    assert not may_create_log_groups(stack.session, "elsewhere-jobs")


def test_jobs_get_their_code_under_keys_that_change_with_it(stack: DeployedStack) -> None:
    job = stack.aws.glue.get_job(JobName=f"{PROJECT}-ingest")["Job"]
    wheels = job["DefaultArguments"]["--extra-py-files"].split(",")
    assert job["Command"]["ScriptLocation"].startswith(f"s3://{stack.deployment.artifacts_bucket}/scripts/")
    assert [name for name in wheels if "/totesys_pipeline-" in name] and [name for name in wheels if "/totesys_vendor-" in name]
    for address in [job["Command"]["ScriptLocation"], *wheels]:
        bucket, _, key = address[len("s3://") :].partition("/")
        assert stack.aws.s3.head_object(Bucket=bucket, Key=key)["ContentLength"] > 0


def test_a_deployment_is_read_from_its_stacks(stack: DeployedStack) -> None:
    deployment = stack.deployment
    assert deployment.ingestion_bucket == f"{PROJECT}-ingestion-000000000000-eu-west-2"
    assert deployment.mirror_database == "deploy_test_mirror"
    assert (deployment.publish_workflow, deployment.load_job) == (f"{PROJECT}-publish", f"{PROJECT}-load")
    assert (deployment.source_secret, deployment.workgroup) == (f"{PROJECT}/source", PROJECT)


def test_a_project_that_is_not_deployed_is_named(stack: DeployedStack) -> None:
    with pytest.raises(FatalError, match=r"stack elsewhere-storage is not deployed in eu-west-2: run scripts/deploy\.sh"):
        Deployment.read(stack.session, "elsewhere")


def test_a_resource_that_is_missing_behind_the_api_fails_the_proof(stack: DeployedStack) -> None:
    template, glue, name = Template.read("jobs"), stack.aws.glue, f"{PROJECT}-source"
    assert prove_stack(stack.aws.client, f"{PROJECT}-jobs", template) == len(template.resources)
    connection = glue.get_connection(Name=name)["Connection"]
    glue.delete_connection(ConnectionName=name)
    try:
        with pytest.raises(FatalError, match=rf"SourceConnection of stack {PROJECT}-jobs, {name}, is not behind the API \(EntityNotFound"):
            prove_stack(stack.aws.client, f"{PROJECT}-jobs", template)
    finally:
        kept = ("Name", "Description", "ConnectionType", "ConnectionProperties")
        glue.create_connection(ConnectionInput={field: connection[field] for field in kept})


def test_a_look_up_that_aws_refuses_for_another_reason_does_not_ask_for_a_new_stack() -> None:
    def refused(client: object, name: str) -> None:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "not yours"}}, "GetJob")

    with pytest.raises(FatalError, match=r"could not be proved: AWS refused GetJob \(AccessDeniedException\): not yours: correct that and"):
        look_up(boto3.client, "LoadJob of stack totesys-jobs", refused, "totesys-load")


def test_an_event_rule_that_is_disabled_fails_the_proof(stack: DeployedStack) -> None:
    rule = f"{PROJECT}-batch-pending"
    stack.aws.client("events").disable_rule(Name=rule)
    try:
        with pytest.raises(FatalError, match=f"event rule {rule} is disabled or has no target"):
            prove_stack(stack.aws.client, f"{PROJECT}-workflows", Template.read("workflows"))
    finally:
        stack.aws.client("events").enable_rule(Name=rule)


def test_a_resource_that_the_template_has_and_the_stack_has_not_fails_the_proof(stack: DeployedStack) -> None:
    template = Template.read("workflows")
    template.resources["PublishNotify"] = False
    with pytest.raises(FatalError, match=r"has no PublishNotify, which workflows\.yaml describes"):
        prove_stack(stack.aws.client, f"{PROJECT}-workflows", template)


def test_ingest_reads_the_contracts_tables_and_does_nothing_else(stack: DeployedStack) -> None:
    run = statement_runner(role_of(stack, "source"))
    run("SELECT * FROM sales_order")
    run("LOCK TABLE payment IN ACCESS SHARE MODE")
    for refused in (
        "INSERT INTO currency (currency_code, last_updated) VALUES ('JPY', now())",
        "UPDATE payment SET paid = true",
        "DELETE FROM design",
        "TRUNCATE staff",
        "CREATE TABLE extra (id int)",
        "SELECT * FROM _prisma_migrations",
        "CREATE ROLE other",
    ):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            run(refused)


def test_load_prepares_the_warehouse_and_its_own_schema_and_is_no_administrator(stack: DeployedStack) -> None:
    run = statement_runner(role_of(stack, "warehouse"))
    run("CREATE TABLE dim_currency (currency_id int PRIMARY KEY)")
    run("CREATE SCHEMA etl")
    for refused in ("CREATE ROLE other", "CREATE DATABASE other"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            run(refused)


def role_of(stack: DeployedStack, name: str) -> Credentials:
    return read_credentials(stack.aws.client("secretsmanager"), f"{PROJECT}/{name}")


def statement_runner(credentials: Credentials) -> Callable[[str], None]:
    """Runs one statement at a time as that role, and takes it back."""

    def run(statement: str) -> None:
        connection = psycopg2.connect(**credentials.libpq())
        try:
            connection.autocommit = "DATABASE" in statement
            connection.cursor().execute(statement)
        finally:
            connection.close()

    return run


@pytest.mark.parametrize(
    ("variables", "code", "reason"),
    [
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, 2, 'Could not connect to the endpoint URL: "http://127.0.0.1:9/": check'),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": ""}, 2, "no AWS region is set: set AWS_REGION"),
        ({"AWS_ACCESS_KEY_ID": ""}, 2, "no AWS credentials: set AWS_PROFILE"),
        ({"TOTESYS_PROJECT": "My_Project"}, 2, "TOTESYS_PROJECT is My_Project: it must be"),
        ({"TOTESYS_SUBNET_ID": "subnet-1"}, 1, "TOTESYS_SUBNET_ID set alone"),
        ({"TOTESYS_NONCURRENT_DAYS": "0"}, 1, "stack unmade-storage could not be deployed: "),
    ],
)
def test_what_is_missing_is_said_in_one_line_before_anything_is_made(
    stack: DeployedStack,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variables: dict[str, str],
    code: int,
    reason: str,
) -> None:
    usual = {**aws_environment(stack.aws.endpoint), "AWS_MAX_ATTEMPTS": "1", "TOTESYS_PROJECT": "unmade"}
    for name, value in {**usual, **variables}.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name, raising=False)
    ended = totesys(capsys, "deploy")
    assert ended.code == code
    assert ended.err.startswith(f"deploy: {'could not start' if code == 2 else 'failed'}: {reason}")
    assert ended.err.count("\n") == 1
