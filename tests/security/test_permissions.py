"""One right at a time is taken from a role of a deployed stack, and the run that needs it fails, or visibly does less: a right that
nobody misses is one too many.

The runs are real ones: Glue runs of the jobs by their roles, on a local AWS that enforces rights. What a job does only once a day, or
after a long run, is called by a script that runs by the job's role.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from local_aws.environment import aws_environment
from operations.deployment.change_sets import deploy_stack
from operations.deployment.templates import Template
from tests.conftest import Database
from tests.security.deployed import (
    NOT_DEPLOYED,
    PROJECT,
    RIGHTS,
    ROLES,
    Deployed,
    Right,
    add_one_too_many,
    one_partition,
    publish_rule,
    set_back,
)
from tests.support.cloudformation import listed, statements
from tests.support.deltas import Deltas
from tests.support.stack import local_stack

# Rights that no run here needs, with why they are there.
ONLY_ON_AWS = {
    "s3:AbortMultipartUpload": "after an upload in parts that broke off",
    "s3:ListBucketMultipartUploads": "S3A's committers look for uploads that broke off",
}


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory, two_databases: Callable[[], tuple[Database, Database]]) -> Iterator[Deployed]:
    source, warehouse = two_databases()
    with local_stack(tmp_path_factory.mktemp("rights"), source, warehouse, PROJECT) as stack:
        assert stack.first_run.returncode == 0, stack.first_run.stderr
        Deltas(source)  # fills the source
        done = stack.totesys("run")
        assert done.returncode == 0, done.stdout + done.stderr
        stack.aws.client("events").disable_rule(Name=publish_rule(stack))
        stack.aws.client("secretsmanager").create_secret(Name="team/slack", SecretString="http://127.0.0.1:1/webhook")
        with pytest.MonkeyPatch.context() as patch:
            for name, value in aws_environment(stack.aws.endpoint).items():
                patch.setenv(name, value)
            parameters = {"Project": PROJECT, "SlackSecret": "team/slack"}
            deploy_stack(stack.session, f"{PROJECT}-alerts", Template.read("alerts"), parameters)
        yield Deployed(stack)


def is_denied(run: dict[str, Any], right: Right) -> bool:
    return run["JobRunState"] == "FAILED" and right.action in run["ErrorMessage"]


# What needs a right, and whether it was missed. Where nothing is said, a run of the job fails.
Missed = Callable[[Deployed, Right], bool]


def a_run_fails(deployed: Deployed, right: Right) -> bool:
    return is_denied(deployed.run(right.role), right)


def a_run_with_news_fails(deployed: Deployed, right: Right) -> bool:
    deployed.change()
    return a_run_fails(deployed, right)


def a_run_with_a_batch_fails(deployed: Deployed, right: Right) -> bool:
    deployed.change()
    assert deployed.run("ingest")["JobRunState"] == "SUCCEEDED"
    return a_run_fails(deployed, right)


def a_run_that_has_lost_its_manifests_fails(deployed: Deployed, right: Right) -> bool:
    s3, bucket = deployed.client("s3"), deployed.stack.deployment.processed_bucket
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket, Prefix="_manifests/")["Contents"]]
    manifests = {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys]})
    missed = a_run_fails(deployed, right)
    for key, body in manifests.items():
        s3.put_object(Bucket=bucket, Key=key, Body=body)
    return missed


def a_run_fails_while_the_warehouse_is_down(deployed: Deployed, right: Right) -> bool:
    with deployed.warehouse_down():
        return a_run_fails(deployed, right)


def a_run_in_its_workflow_fails(deployed: Deployed, right: Right) -> bool:
    return is_denied(deployed.run_of_workflow("ingest" if right.role == "ingest" else "publish", right.role), right)


def the_log_says_so(deployed: Deployed, right: Right) -> bool:
    run = deployed.run(right.role)
    return run["JobRunState"] == "SUCCEEDED" and right.action in deployed.log(run)


def a_run_leaves_no_log(deployed: Deployed, right: Right) -> bool:
    return not deployed.streams(deployed.run(right.role))


def a_run_makes_no_group_for_its_log(deployed: Deployed, right: Right) -> bool:
    logs = deployed.client("logs")
    for group in logs.describe_log_groups(logGroupNamePrefix="/aws-glue/")["logGroups"]:
        logs.delete_log_group(logGroupName=group["logGroupName"])
    return a_run_leaves_no_log(deployed, right)


def a_run_that_registers_a_partition_fails(deployed: Deployed, right: Right) -> bool:
    partition = one_partition(deployed, "mirror", "design")
    deployed.client("glue").delete_partition(**partition.place, PartitionValues=partition.values)
    missed = a_run_fails(deployed, right)
    deployed.client("glue").create_partition(**partition.place, PartitionInput=partition.behind(partition.values))
    return missed


def a_run_that_moves_a_partition_fails(deployed: Deployed, right: Right) -> bool:
    set_back(deployed, one_partition(deployed, "mirror", "design"))
    return a_run_fails(deployed, right)


def a_run_that_removes_a_partition_fails(deployed: Deployed, right: Right) -> bool:
    add_one_too_many(deployed, one_partition(deployed, "mirror", "design"))
    return a_run_fails(deployed, right)


_ALERT = """
import boto3
from totesys.runtime.alerts import Alert, send
send(boto3.client("events"), "nobody", [Alert("table held", "staff", 1, "a test")])
"""
_SLOWDOWN = """
import boto3
from totesys.runtime import metrics
metrics._slowdown(boto3.client("cloudwatch"), "nobody", "load", 61.0)
"""
_SWEEP = """
import sys
from datetime import datetime, timedelta, timezone
import boto3
from totesys.lake.manifests import newest_publish
from totesys.lake.store import Bucket
from totesys.lake.sweep import sweep
processed = Bucket(boto3.client("s3"), sys.argv[sys.argv.index("--processed_bucket") + 1])
processed.put("mirror/design/publish_id=0000000001-0a1b2c3d/key_range=0/part-0.parquet", b"")
assert sweep(processed, newest_publish(processed), datetime.now(timezone.utc) + timedelta(days=2)) > 0
"""


def a_script_fails(source: str) -> Missed:
    return lambda deployed, right: is_denied(deployed.script(right.role, source), right)


def the_event_starts_nothing(deployed: Deployed, right: Right) -> bool:
    """With the right, it starts a run."""
    events, rule = deployed.client("events"), publish_rule(deployed.stack)
    before = len(deployed.publishes())
    events.enable_rule(Name=rule)
    deployed.change()
    assert deployed.run("ingest")["JobRunState"] == "SUCCEEDED"
    events.disable_rule(Name=rule)
    return len(deployed.publishes()) == before


def the_function_fails(deployed: Deployed, right: Right) -> bool:
    answer = deployed.client("lambda").invoke(FunctionName=f"{PROJECT}-slack", Payload=json.dumps({"Records": []}))
    return "FunctionError" in answer and right.action in answer["Payload"].read().decode()


def the_function_leaves_no_log(deployed: Deployed, right: Right) -> bool:
    logs, group = deployed.client("logs"), f"/aws/lambda/{PROJECT}-slack"

    def streams() -> int:
        return len(logs.describe_log_streams(logGroupName=group)["logStreams"])

    before = streams()
    assert "FunctionError" not in deployed.client("lambda").invoke(FunctionName=f"{PROJECT}-slack", Payload=json.dumps({"Records": []}))
    return streams() == before


MISSED: dict[tuple[str, str], Missed] = {
    ("ReadCode", "s3:GetObject"): a_run_fails,
    ("WriteLogs", "logs:CreateLogGroup"): a_run_makes_no_group_for_its_log,
    ("WriteLogs", "logs:CreateLogStream"): a_run_leaves_no_log,
    ("WriteLogs", "logs:PutLogEvents"): a_run_leaves_no_log,
    ("SeeWhatIsPublished", "s3:GetObject"): a_run_fails_while_the_warehouse_is_down,
    ("TellMissingFromForbidden", "s3:ListBucket"): a_run_fails_while_the_warehouse_is_down,
    ("ReadContractsAndRegisterPartitions", "glue:GetTable"): a_run_with_news_fails,
    ("ReadContractsAndRegisterPartitions", "glue:BatchCreatePartition"): a_run_with_news_fails,
    ("ReadRunProperties", "glue:GetWorkflowRunProperties"): a_run_in_its_workflow_fails,
    ("SeeWhetherPublishRuns", "glue:GetWorkflow"): a_run_with_news_fails,
    ("AnnounceWorkAndAlert", "events:PutEvents"): a_run_with_news_fails,
    ("PutMetrics", "cloudwatch:PutMetricData"): the_log_says_so,
    ("CompareWithYesterday", "cloudwatch:GetMetricStatistics"): a_script_fails(_SLOWDOWN),
    ("Alert", "events:PutEvents"): a_script_fails(_ALERT),
    ("WritePublishes", "s3:PutObject"): a_run_with_a_batch_fails,
    ("WritePublishes", "s3:DeleteObject"): a_script_fails(_SWEEP),
    ("RegisterPartitions", "glue:GetTables"): a_run_that_has_lost_its_manifests_fails,
    ("RegisterPartitions", "glue:GetTable"): a_run_that_registers_a_partition_fails,
    ("RegisterPartitions", "glue:BatchCreatePartition"): a_run_that_registers_a_partition_fails,
    ("RegisterPartitions", "glue:BatchUpdatePartition"): a_run_that_moves_a_partition_fails,
    ("RegisterPartitions", "glue:BatchDeletePartition"): a_run_that_removes_a_partition_fails,
    ("StartPublish", "glue:notifyEvent"): the_event_starts_nothing,
    ("ReadWebhook", "secretsmanager:GetSecretValue"): the_function_fails,
}  # fmt: skip
OF_ROLE: dict[tuple[str, str], Missed] = {
    ("slack", "logs:CreateLogStream"): the_function_leaves_no_log,
    ("slack", "logs:PutLogEvents"): the_function_leaves_no_log,
}


def missed(right: Right) -> Missed:
    if (right.role, right.sid, right.resource) == ("ingest", "ReadCredentials", 1):
        return the_log_says_so  # the warehouse's: ingest then looks at what is published
    return OF_ROLE.get((right.role, right.action)) or MISSED.get((right.sid, right.action)) or a_run_fails


@pytest.mark.parametrize("right", [right for right in RIGHTS if right.action not in ONLY_ON_AWS], ids=str)
def test_what_needs_a_right_misses_it(deployed: Deployed, right: Right) -> None:
    with deployed.without(right):
        assert missed(right)(deployed, right)


@pytest.mark.parametrize(("role", "source"), [
    *((job, source) for job in ("ingest", "transform", "load") for source in (_ALERT, _SLOWDOWN)), ("transform", _SWEEP),
])  # fmt: skip
def test_a_script_that_fails_without_a_right_succeeds_with_it(deployed: Deployed, role: str, source: str) -> None:
    run = deployed.script(role, source)
    assert run["JobRunState"] == "SUCCEEDED", run["ErrorMessage"]


def test_with_all_rights_the_whole_way_goes_well_and_every_resource_of_a_right_is_used(deployed: Deployed) -> None:
    """By this run and all before it together: a right for one more thing shows here."""
    with deployed.warehouse_down():
        assert deployed.run("ingest")["JobRunState"] == "SUCCEEDED"
    for database, table in (("mirror", "staff"), ("star", "dim_staff")):
        partition = one_partition(deployed, database, table)
        set_back(deployed, partition)
        add_one_too_many(deployed, partition)
    assert not the_event_starts_nothing(deployed, RIGHTS[0])
    run = max(deployed.publishes(), key=lambda run: run["StartedOn"])
    ended = deployed.stack.aws.workflow_ended(f"{PROJECT}-publish", run["WorkflowRunId"])
    assert {node["JobDetails"]["JobRuns"][0]["JobRunState"] for node in ended["Graph"]["Nodes"] if node["Type"] == "JOB"} == {"SUCCEEDED"}
    assert granted(deployed) - used(deployed) == set()


def granted(deployed: Deployed) -> set[tuple[str, str, str, str]]:
    """Role, statement, action and resource of what is allowed."""
    iam, found = deployed.client("iam"), set()
    for role in ROLES:
        name = f"{PROJECT}-{role}-eu-west-2"
        for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
            for statement in iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]["Statement"]:
                for action in set(listed(statement["Action"])) - set(ONLY_ON_AWS):
                    found |= {(name, statement["Sid"], action, resource) for resource in listed(statement["Resource"])}
    return found


def used(deployed: Deployed) -> set[tuple[str, str, str, str]]:
    lines = (deployed.stack.aws.local_dir / "permissions.jsonl").read_text().splitlines()
    noted = [json.loads(line) for line in lines]
    return {(line["role"], line["sid"], line["action"], line["resource"]) for line in noted if "action" in line}


def test_every_exception_is_one() -> None:
    assert {right.action for right in RIGHTS} >= set(ONLY_ON_AWS)
    sids = {statement["Sid"] for role in ROLES.values() for statement in statements(role)}
    assert sids >= NOT_DEPLOYED
    assert {(right.sid, right.action) for right in RIGHTS} >= set(MISSED)
