"""Describe and delete the stacks of a deployment. change_sets.py deploys them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import ClientError, WaiterError
from totesys.errors import FatalError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import StackTypeDef

STACKS = (
    "storage",
    "secrets",
    "catalog",
    "alerts",
    "roles",
    "jobs",
    "workflows",
    "alarms",
    "dashboard",
)  # each after those that it depends on


def stack_outputs(session: boto3.Session, stack: str) -> dict[str, str]:
    """Return the outputs of a deployed stack. FatalError when there is none of that name."""
    found = describe_stack(session, stack)
    if found is None:
        raise FatalError(f"stack {stack} is not deployed in {session.region_name}: run scripts/deploy.sh")
    return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", ())}


def describe_stack(session: boto3.Session, stack: str) -> StackTypeDef | None:
    """Return a stack as CloudFormation describes it; None when there is none of that name."""
    try:
        return session.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError as error:
        # Many mistakes are a ValidationError. Only its text says that the stack does not exist.
        if error.response["Error"]["Code"] == "ValidationError" and "does not exist" in error.response["Error"]["Message"]:
            return None
        raise


def delete_stack(session: boto3.Session, stack: str) -> None:
    """Delete a stack, and wait. A missing stack is no error. FatalError with the first reason when the deletion fails."""
    client = session.client("cloudformation")
    client.delete_stack(StackName=stack)
    try:
        client.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig={"Delay": 2, "MaxAttempts": 900})
    except WaiterError as error:
        raise FatalError(f"stack {stack} could not be deleted: {first_failure(session, stack) or error}") from error


def first_failure(session: boto3.Session, stack: str) -> str:
    """Return the first failure in the stack's latest operation; empty when no resource failed."""
    if describe_stack(session, stack) is None:
        return ""
    reasons = []
    for event in session.client("cloudformation").describe_stack_events(StackName=stack)["StackEvents"]:  # newest first
        if event["ResourceStatus"].endswith("_FAILED"):
            reasons.append(f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', event['ResourceStatus'])}")
        began = event["ResourceStatus"] in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS")
        if began and event["ResourceType"] == "AWS::CloudFormation::Stack":
            break
    return reasons[-1] if reasons else ""
