"""Change sets: what a template would change in a stack. A plan shows it and deletes the change set. A deploy executes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

import boto3
from botocore.exceptions import ClientError, WaiterError
from totesys.errors import FatalError

from operations.aws import explain
from operations.deployment.stacks import delete_stack, describe_stack, first_failure
from operations.deployment.templates import Template

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import ResourceChangeTypeDef

_NO_CHANGE = ("didn't contain changes", "No updates are to be performed")  # AWS has no error code for this, only these texts
_UNMADE = ("REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE")


@dataclass(frozen=True)
class ChangeSet:
    """A change set of one stack.

    is_new   the stack does not exist yet: AWS shows an empty one, in review
    changes  the resources that would change, as AWS describes them
    refusal  why it cannot be executed, as AWS says; empty when it can
    """

    client: CloudFormationClient
    stack: str
    name: str
    is_new: bool
    changes: tuple[ResourceChangeTypeDef, ...] = ()
    refusal: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether AWS refused it because it changes nothing."""
        return any(text in self.refusal for text in _NO_CHANGE)

    def execute(self) -> None:
        """Change the stack, and wait. WaiterError when that fails."""
        self.client.execute_change_set(StackName=self.stack, ChangeSetName=self.name)
        waiter = self.client.get_waiter("stack_create_complete" if self.is_new else "stack_update_complete")
        waiter.wait(StackName=self.stack, WaiterConfig={"Delay": 2, "MaxAttempts": 1800})

    def delete(self) -> None:
        """Delete the change set. For a new stack, also delete the empty stack that AWS has created for it."""
        self.client.delete_change_set(StackName=self.stack, ChangeSetName=self.name)
        if self.is_new:
            self.client.delete_stack(StackName=self.stack)
            self.client.get_waiter("stack_delete_complete").wait(StackName=self.stack, WaiterConfig={"Delay": 1, "MaxAttempts": 60})


def is_made(session: boto3.Session, stack: str) -> bool:
    """Whether a stack exists. A stack in review, or whose creation failed, does not count."""
    found = describe_stack(session, stack)
    return found is not None and found["StackStatus"] not in _UNMADE


def make_change_set(session: boto3.Session, stack: str, template: Template, parameters: Mapping[str, str]) -> ChangeSet:
    """Create a change set and wait for it. Every parameter is passed, so that a changed default takes effect."""
    client, is_new, name = session.client("cloudformation"), not is_made(session, stack), f"totesys-{uuid4().hex}"
    client.create_change_set(
        StackName=stack, ChangeSetName=name, ChangeSetType="CREATE" if is_new else "UPDATE", Capabilities=["CAPABILITY_NAMED_IAM"],
        TemplateBody=template.path.read_text("utf-8"),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        Tags=[],  # a stack has none
    )  # fmt: skip
    try:
        client.get_waiter("change_set_create_complete").wait(
            StackName=stack, ChangeSetName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 300}
        )
    except KeyboardInterrupt:
        ChangeSet(client, stack, name, is_new).delete()
        raise
    except WaiterError:
        found = client.describe_change_set(StackName=stack, ChangeSetName=name)
        return ChangeSet(client, stack, name, is_new, refusal=found.get("StatusReason") or f"its change set is {found['Status']}")
    pages = client.get_paginator("describe_change_set").paginate(StackName=stack, ChangeSetName=name)
    return ChangeSet(client, stack, name, is_new, tuple(change["ResourceChange"] for page in pages for change in page["Changes"]))


def deploy_stack(session: boto3.Session, stack: str, template: Template, parameters: Mapping[str, str]) -> str:
    """Create or update a stack and wait. Return created, updated or unchanged. FatalError with the first reason when it fails."""
    before = describe_stack(session, stack)
    if before and before["StackStatus"] == "ROLLBACK_COMPLETE":
        delete_stack(session, stack)  # A creation that failed leaves a stack that can be deleted and nothing else.
    try:
        change_set = make_change_set(session, stack, template, parameters)
        if change_set.refusal:
            change_set.delete()
            if change_set.is_empty:
                return "unchanged"
            raise FatalError(f"stack {stack} could not be deployed: {change_set.refusal}")
        change_set.execute()
    except WaiterError as error:
        raise FatalError(f"stack {stack} could not be deployed: {first_failure(session, stack) or error}") from error
    except ClientError as error:
        raise FatalError(f"stack {stack} could not be deployed: {explain(error)}") from error
    return "created" if change_set.is_new else "updated"
