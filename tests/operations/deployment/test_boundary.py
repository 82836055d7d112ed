"""A deployment whose roles have the boundary that the stack of ci.yaml makes: it is on all of them, and takes nothing that they need."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import pytest

from local_aws.environment import aws_environment
from operations.deployment.change_sets import deploy_stack
from operations.deployment.proof import prove_stack
from operations.deployment.stacks import stack_outputs
from operations.deployment.templates import Template
from tests.support.cloudformation import listed
from tests.support.stack import DeployedStack

PROJECT = "bounded"
KEY = "arn:aws:kms:eu-west-2:000000000000:key/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f"
# Every part of the roles that a choice brings.
CHOSEN = {
    "TOTESYS_KMS_KEY_ARN": KEY, "TOTESYS_SLACK_SECRET": "chat/alerts", "TOTESYS_SUBNET_ID": "subnet-0a1b2c3d",
    "TOTESYS_SECURITY_GROUP_ID": "sg-0a1b2c3d", "TOTESYS_AVAILABILITY_ZONE": "eu-west-2a",
}  # fmt: skip
ROLES = [f"{PROJECT}-{name}-eu-west-2" for name in ("ingest", "transform", "load", "event", "slack")]


@pytest.fixture(scope="module")
def boundary(stack: DeployedStack) -> Iterator[str]:
    """The boundary's ARN, on whose roles a project is deployed."""
    provider = "arn:aws:iam::000000000000:oidc-provider/token.actions.githubusercontent.com"
    parameters = {
        "Project": PROJECT, "Repository": "owner/name", "OidcProviderArn": provider, "KmsKeyArn": KEY, "SlackSecret": "chat/alerts",
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for name, value in aws_environment(stack.aws.endpoint).items():
            patch.setenv(name, value)
        deploy_stack(stack.session, f"{PROJECT}-ci", Template.read("ci"), parameters)
    arn = stack_outputs(stack.session, f"{PROJECT}-ci")["PermissionsBoundaryArn"]
    done = stack.deploy(TOTESYS_PROJECT=PROJECT, TOTESYS_PERMISSIONS_BOUNDARY=arn, **CHOSEN)
    assert done.returncode == 0, done.stderr
    yield arn


def inline(stack: DeployedStack, role: str) -> list[dict[str, Any]]:
    """The statements of a role's policies."""
    iam = stack.aws.client("iam")
    names = iam.list_role_policies(RoleName=role)["PolicyNames"]
    documents = [iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names]
    return [statement for document in documents for statement in document["Statement"]]


def covers(limit: dict[str, Any], action: str, resource: str, condition: dict[str, Any]) -> bool:
    """Whether a statement of the boundary allows what one of a role allows; what it asks for, the other must ask for too."""
    asked = {(operator, key): listed(values) for operator, keys in limit.get("Condition", {}).items() for key, values in keys.items()}
    return (
        action in listed(limit["Action"])
        and any(fnmatchcase(resource, pattern) for pattern in listed(limit["Resource"]))
        and all(set(listed(condition.get(operator, {}).get(key, "nothing"))) <= set(values) for (operator, key), values in asked.items())
    )


def test_the_stack_that_a_person_makes_is_proved_like_the_others(stack: DeployedStack, boundary: str) -> None:
    assert prove_stack(stack.aws.client, f"{PROJECT}-ci", Template.read("ci")) == 2


@pytest.mark.parametrize("role", ROLES)
def test_every_role_has_the_boundary(stack: DeployedStack, boundary: str, role: str) -> None:
    found = stack.aws.client("iam").get_role(RoleName=role)["Role"]
    assert found["PermissionsBoundary"]["PermissionsBoundaryArn"] == boundary


@pytest.mark.parametrize("role", ROLES)
def test_the_boundary_covers_what_a_role_needs(stack: DeployedStack, boundary: str, role: str) -> None:
    iam = stack.aws.client("iam")
    version = iam.get_policy(PolicyArn=boundary)["Policy"]["DefaultVersionId"]
    limits = iam.get_policy_version(PolicyArn=boundary, VersionId=version)["PolicyVersion"]["Document"]["Statement"]
    needed = [
        (action, resource, statement.get("Condition", {}))
        for statement in inline(stack, role)
        for action in listed(statement["Action"])
        for resource in listed(statement["Resource"])
    ]
    assert needed
    assert [one for one in needed if not any(covers(limit, *one) for limit in limits)] == []


def test_the_policies_fit_into_what_iam_takes(stack: DeployedStack, boundary: str) -> None:
    iam, characters = stack.aws.client("iam"), lambda document: len(json.dumps(document, separators=(",", ":")))
    version = iam.get_policy(PolicyArn=boundary)["Policy"]["DefaultVersionId"]
    assert characters(iam.get_policy_version(PolicyArn=boundary, VersionId=version)["PolicyVersion"]["Document"]) < 6_144
    longer = 20 - len(PROJECT)  # a project's name may have 20 characters, and stands in each resource
    for role in (f"{PROJECT}-ci-eu-west-2", *ROLES):
        policies = inline(stack, role)
        assert characters(policies) + longer * json.dumps(policies).count(PROJECT) < 10_240


def test_a_boundary_that_is_not_there_fails_the_deploy_with_what_iam_says(stack: DeployedStack, boundary: str) -> None:
    done = stack.deploy(TOTESYS_PROJECT="limitless", TOTESYS_PERMISSIONS_BOUNDARY=f"{boundary}-gone")
    assert done.returncode == 1
    assert f"Scope ARN: {boundary}-gone does not exist or is not attachable" in done.stderr
