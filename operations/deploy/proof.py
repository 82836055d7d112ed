"""Proof that a deployed stack is there: each resource of its template is looked up through its own service, and triggers are activated."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError
from totesys.errors import FatalError

from operations.deploy.stacks import Template

_TRIGGER_SECONDS = 60.0
Client = Callable[[str], Any]  # a service's client by its name
Lookup = Callable[[Client, str], object]

LOOKUPS: dict[str, Lookup] = {
    "AWS::Athena::WorkGroup": lambda client, name: client("athena").get_work_group(WorkGroup=name),
    "AWS::Events::Rule": lambda client, name: rule_with_target(client("events"), name),
    "AWS::Glue::Connection": lambda client, name: client("glue").get_connection(Name=name, HidePassword=True),
    "AWS::Glue::Database": lambda client, name: client("glue").get_database(Name=name),
    "AWS::Glue::Job": lambda client, name: client("glue").get_job(JobName=name),
    "AWS::Glue::Trigger": lambda client, name: activated_trigger(client("glue"), name),
    "AWS::Glue::Workflow": lambda client, name: client("glue").get_workflow(Name=name),
    "AWS::IAM::Role": lambda client, name: client("iam").get_role(RoleName=name),
    "AWS::Logs::LogGroup": lambda client, name: log_group(client("logs"), name),
    "AWS::S3::Bucket": lambda client, name: client("s3").get_bucket_policy(Bucket=name),  # every bucket has one
    "AWS::S3::BucketPolicy": lambda client, name: None,  # proved with its bucket: what its physical id is differs
    "AWS::SecretsManager::Secret": lambda client, name: client("secretsmanager").describe_secret(SecretId=name),
}


def prove_stack(client: Client, stack: str, template: Template) -> int:
    """Looks up every resource of the stack's template; returns how many there are. FatalError names the first that is not there."""
    described = client("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]
    resources = {resource["LogicalResourceId"]: resource for resource in described}
    for logical_id, conditional in template.resources.items():
        if logical_id not in resources and not conditional:
            raise FatalError(f"stack {stack} has no {logical_id}, which {template.path.name} describes: run scripts/deploy.sh again")
    for logical_id, resource in resources.items():
        look_up(client, f"{logical_id} of stack {stack}", resource["ResourceType"], resource["PhysicalResourceId"])
    return len(resources)


def look_up(client: Client, what: str, kind: str, physical_id: str) -> None:
    """FatalError unless the service of that kind of resource knows it."""
    if kind not in LOOKUPS:
        raise FatalError(f"{what} is an {kind}, and nothing proves those: add a look-up to operations/deploy_proof.py")
    try:
        LOOKUPS[kind](client, physical_id)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        raise FatalError(f"{what}, {physical_id}, is not behind the API ({code}): delete the stack and deploy again") from error


def rule_with_target(events: Any, name: str) -> None:
    """FatalError unless the rule is enabled and has a target."""
    rule = events.describe_rule(Name=name)
    if rule["State"] != "ENABLED" or not events.list_targets_by_rule(Rule=name)["Targets"]:
        raise FatalError(f"event rule {name} is disabled or has no target: enable it, or delete the workflows stack and deploy again")


def log_group(logs: Any, name: str) -> None:
    """FatalError unless there is a log group of exactly that name."""
    groups = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    if name not in [group["logGroupName"] for group in groups]:
        raise FatalError(f"log group {name} is not there: delete the jobs stack and deploy again")


def activated_trigger(glue: Any, name: str) -> None:
    """Starts a trigger that is not active, which CloudFormation does at creation only, and waits until it is."""
    deadline = time.monotonic() + _TRIGGER_SECONDS
    started = False
    while (state := glue.get_trigger(Name=name)["Trigger"]["State"]) != "ACTIVATED":
        if state in ("CREATED", "DEACTIVATED") and not started:
            glue.start_trigger(Name=name)
            started = True
            continue
        if time.monotonic() > deadline:
            raise FatalError(f"trigger {name} is {state} and does not become ACTIVATED: start it in the Glue console")
        time.sleep(0.5)
