"""A stack is made, updated, left alone or refused by change sets, and none is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from totesys.errors import FatalError

from operations.deployment.change_sets import deploy_stack, make_change_set
from operations.deployment.stacks import describe_stack
from operations.deployment.templates import Template
from tests.support.cloudformation import NAMES, PATHS
from tests.support.stack import DeployedStack

NAME = "change-sets"
LONGEST_IN_A_REQUEST = 51_200  # bytes of a template: a longer one must be uploaded


def template(tmp_path: Path, resources: str) -> Template:
    """A template of these resources, which takes the number of days that logs are kept."""
    path = tmp_path / "template.yaml"
    path.write_text(f"Parameters:\n  Days: {{Type: Number, Default: 7}}\nResources:\n{resources}")
    return Template("template", path, {"Days": "7"}, {})


GROUP = "  Group:\n    Type: AWS::Logs::LogGroup\n    Properties: {LogGroupName: /change-sets, RetentionInDays: !Ref Days}\n"
BROKEN = "  Broken:\n    Type: AWS::IAM::Role\n    Properties: {RoleName: broken, PermissionsBoundary: 'arn:aws:iam::1:policy/gone', %s}\n"
ROLE = BROKEN % "AssumeRolePolicyDocument: {Version: '2012-10-17', Statement: []}"


@pytest.fixture(autouse=True)
def clean(stack: DeployedStack) -> Iterator[None]:
    """Removes the stack afterwards."""
    yield
    stack.aws.cloudformation.delete_stack(StackName=NAME)


def status(stack: DeployedStack) -> Any:
    found = describe_stack(stack.session, NAME)
    return found and found["StackStatus"]


def change_sets(stack: DeployedStack) -> list[str]:
    """The states of the change sets that the stack has."""
    return [found["ExecutionStatus"] for found in stack.aws.cloudformation.list_change_sets(StackName=NAME)["Summaries"]]


def test_a_stack_is_created_then_unchanged_then_updated(stack: DeployedStack, tmp_path: Path) -> None:
    group = template(tmp_path, GROUP)
    assert deploy_stack(stack.session, NAME, group, {"Days": "7"}) == "created"
    assert deploy_stack(stack.session, NAME, group, {"Days": "7"}) == "unchanged"
    assert set(change_sets(stack)) <= {"EXECUTE_COMPLETE"}, "the empty one is deleted"
    assert deploy_stack(stack.session, NAME, group, {"Days": "30"}) == "updated"
    (kept,) = stack.aws.logs.describe_log_groups(logGroupNamePrefix="/change-sets")["logGroups"]
    assert kept["retentionInDays"] == 30


def test_a_creation_that_failed_says_why_and_the_next_deploy_goes_on_from_it(stack: DeployedStack, tmp_path: Path) -> None:
    with pytest.raises(FatalError, match=rf"stack {NAME} could not be deployed: Broken: .*policy/gone does not exist") as failed:
        deploy_stack(stack.session, NAME, template(tmp_path, ROLE), {"Days": "7"})
    assert "\n" not in str(failed.value)
    assert status(stack) == "ROLLBACK_COMPLETE"
    assert deploy_stack(stack.session, NAME, template(tmp_path, GROUP), {"Days": "7"}) == "created"


def test_an_update_that_fails_says_why(stack: DeployedStack, tmp_path: Path) -> None:
    deploy_stack(stack.session, NAME, template(tmp_path, GROUP), {"Days": "7"})
    with pytest.raises(FatalError, match=rf"stack {NAME} could not be deployed: Broken: "):
        deploy_stack(stack.session, NAME, template(tmp_path, GROUP + ROLE), {"Days": "7"})
    assert status(stack) == "UPDATE_ROLLBACK_COMPLETE"


def test_a_stack_that_a_plan_left_in_review_is_created(stack: DeployedStack, tmp_path: Path) -> None:
    group = template(tmp_path, GROUP)
    left = make_change_set(stack.session, NAME, group, {"Days": "7"})
    assert (left.is_new, status(stack)) == (True, "REVIEW_IN_PROGRESS")
    assert deploy_stack(stack.session, NAME, group, {"Days": "7"}) == "created"


def test_a_change_set_of_a_new_stack_is_deleted_with_the_empty_stack(stack: DeployedStack, tmp_path: Path) -> None:
    planned = make_change_set(stack.session, NAME, template(tmp_path, GROUP), {"Days": "7"})
    assert [change["LogicalResourceId"] for change in planned.changes] == ["Group"]
    planned.delete()
    assert describe_stack(stack.session, NAME) is None


def test_a_template_that_cannot_be_read_is_refused_in_one_line_and_leaves_no_stack(stack: DeployedStack, tmp_path: Path) -> None:
    with pytest.raises(FatalError, match=rf"stack {NAME} could not be deployed: AWS refused CreateChangeSet \(ValidationError\)") as failed:
        deploy_stack(stack.session, NAME, template(tmp_path, "  Group: ["), {"Days": "7"})
    assert "\n" not in str(failed.value)
    assert describe_stack(stack.session, NAME) is None


@pytest.mark.parametrize("path", PATHS, ids=NAMES)
def test_every_template_is_short_enough_for_a_request(path: Path) -> None:
    assert path.stat().st_size <= LONGEST_IN_A_REQUEST
