"""The role that GitHub deploys by: it may do all that CloudFormation does for our templates, and it cannot give itself or others more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import cfnlint
import pytest

from operations.deployment.stacks import STACKS
from tests.support.cloudformation import listed, resources, statements, template

# cfn-lint ships the schemas of the resource types as AWS publishes them, with the permissions of each handler.
SCHEMAS = Path(cfnlint.__file__).parent / "data" / "schemas"
KINDS = sorted({body["Type"] for name in STACKS for body in template(name)["Resources"].values()})
BOUNDARY, PROJECT = {"Ref": "Boundary"}, {"Ref": "Project"}
# What a handler may call and ours never does, by the reason.
UNUSED = {
    "the role reads and deletes no data, and buckets and secrets outlive their stacks: scripts/destroy.sh is a person's": {
        "s3:DeleteBucket", "s3:DeleteBucketPolicy", "s3:DeleteObject", "secretsmanager:DeleteSecret",
    },
    "buckets have none of these properties, or always have them": {
        "s3:CreateBucketMetadataTableConfiguration", "s3:DeleteBucketAnalyticsConfiguration", "s3:DeleteBucketCors",
        "s3:DeleteBucketEncryption", "s3:DeleteBucketLifecycle", "s3:DeleteBucketMetadataTableConfiguration",
        "s3:DeleteBucketMetricsConfiguration", "s3:DeleteBucketReplication", "s3:DeleteBucketWebsite", "s3:PutAccelerateConfiguration",
        "s3:PutAnalyticsConfiguration", "s3:PutBucketAbac", "s3:PutBucketAcl", "s3:PutBucketCORS", "s3:PutBucketLogging",
        "s3:PutBucketNotification", "s3:PutBucketObjectLockConfiguration", "s3:PutBucketReplication", "s3:PutBucketWebsite",
        "s3:PutIntelligentTieringConfiguration", "s3:PutInventoryConfiguration", "s3:PutMetricsConfiguration", "s3:PutObjectAcl",
        "s3:PutObjectLockConfiguration", "s3:PutReplicationConfiguration", "s3:UpdateBucketMetadataAnnotationTableConfiguration",
        "s3:UpdateBucketMetadataInventoryTableConfiguration", "s3:UpdateBucketMetadataJournalTableConfiguration",
        "s3tables:CreateNamespace", "s3tables:CreateTable", "s3tables:CreateTableBucket", "s3tables:GetTable",
        "s3tables:GetTableMetadataLocation", "s3tables:PutTableBucketPolicy", "s3tables:PutTableEncryption", "s3tables:PutTablePolicy",
        "s3tables:UpdateTableMetadataLocation",
    },
    "log groups have a retention, tags and nothing else": {
        "firehose:TagDeliveryStream", "logs:AssociateKmsKey", "logs:CreateLogDelivery", "logs:DeleteDataProtectionPolicy",
        "logs:DeleteIndexPolicy", "logs:DeleteResourcePolicy", "logs:DisassociateKmsKey", "logs:PutBearerTokenAuthentication",
        "logs:PutDataProtectionPolicy", "logs:PutIndexPolicy", "logs:PutLogGroupDeletionProtection", "logs:PutResourcePolicy",
        "s3:REST.PUT.OBJECT",
    },
    "the key is never disabled, and always rotates": {"kms:DisableKey", "kms:DisableKeyRotation", "kms:EnableKey"},
    "the function's code stands in its template; it is in no VPC, mounts nothing and has no key": {
        "ec2:DescribeNetworkInterfaces", "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs",
        "elasticfilesystem:DescribeMountTargets", "kms:CreateGrant", "kms:Encrypt", "s3:GetObjectVersion", "s3files:ListMountTargets",
    },
    "no secret is generated or replicated": {
        "secretsmanager:GetRandomPassword", "secretsmanager:RemoveRegionsFromReplication", "secretsmanager:ReplicateSecretToRegions",
    },
    "no role has a managed policy, and none loses its boundary": {
        "iam:AttachRolePolicy", "iam:DeleteRolePermissionsBoundary", "iam:DetachRolePolicy",
    },
    "the work group runs no Spark": {"iam:CreateServiceLinkedRole"},
}  # fmt: skip
EXCEPTIONS = set().union(*UNUSED.values())


def role() -> dict[str, Any]:
    (found,) = resources("ci", "AWS::IAM::Role").values()
    return found


def boundary() -> list[dict[str, Any]]:
    """The statements of the boundary, the conditional one included."""
    (policy,) = resources("ci", "AWS::IAM::ManagedPolicy").values()
    return [item["Fn::If"][1] if "Fn::If" in item else item for item in policy["PolicyDocument"]["Statement"]]


def granting(action: str) -> Iterator[dict[str, Any]]:
    """The statements that allow the role an action, on resources of its service."""
    service = action.partition(":")[0]
    for item in statements(role()):
        where = json.dumps(item["Resource"])
        named = f":{service}:" in where or item["Resource"] == "*" or (service == "kms" and "KmsKeyArn" in where)
        if item["Effect"] == "Allow" and named and any(fnmatchcase(action, pattern) for pattern in listed(item["Action"])):
            yield item


@cache
def schema(kind: str) -> dict[str, Any]:
    index = json.loads((SCHEMAS / "providers" / "eu-west-2.json").read_text())
    body: dict[str, Any] = json.loads((SCHEMAS / "resources" / f"{index[kind]}.json").read_text())
    return body


def called_by_handlers(kind: str) -> set[str]:
    """What CloudFormation may call, as its caller, to create, read, update and delete a resource, and to change its tags."""
    handlers = {name: set(handler["permissions"]) for name, handler in schema(kind)["handlers"].items() if name != "list"}
    return set().union(*handlers.values())


@pytest.mark.parametrize("kind", KINDS)
def test_the_role_may_do_all_that_cloudformation_does_for_a_resource(kind: str) -> None:
    assert {action for action in called_by_handlers(kind) - EXCEPTIONS if not any(granting(action))} == set()


@pytest.mark.parametrize("kind", ["AWS::Logs::LogGroup", "AWS::S3::Bucket", "AWS::KMS::Key"])
def test_the_role_may_do_all_that_a_changed_tag_asks_for(kind: str) -> None:
    asked = set(schema(kind)["tagging"]["permissions"]) - {"s3:DeleteBucketTagging"}  # no such right: taking tags off is putting none
    assert {action for action in asked if not any(granting(action))} == set()


def test_every_exception_is_one() -> None:
    called = set().union(*map(called_by_handlers, KINDS))
    assert EXCEPTIONS - called == set()
    assert {action for action in EXCEPTIONS if any(granting(action))} == set()


def test_the_role_knows_the_projects_keys_by_a_tag_that_the_template_puts_on_them() -> None:
    assert schema("AWS::KMS::Key")["tagging"]["cloudFormationSystemTags"] is False
    assert "aws:cloudformation:" not in json.dumps(role())
    (key,) = resources("alerts", "AWS::KMS::Key").values()
    assert key["Tags"] == [{"Key": "totesys:project", "Value": PROJECT}]
    of_keys = {item["Sid"]: item for item in statements(role()) if any(action.startswith("kms:") for action in listed(item["Action"]))}
    new = {"StringEquals": {"aws:RequestTag/totesys:project": PROJECT}}
    assert of_keys["NewKeys"]["Condition"] == new
    by_cloudformation = {"ForAnyValue:StringEquals": {"aws:CalledVia": ["cloudformation.amazonaws.com"]}}
    assert of_keys["TagOfAKey"]["Condition"] == {**new, **by_cloudformation}
    assert of_keys["Keys"]["Condition"] == {"StringEquals": {"aws:ResourceTag/totesys:project": PROJECT}}


ROLES = [
    properties["RoleName"]["Fn::Sub"] for name in ("roles", "alerts") for properties in resources(name, "AWS::IAM::Role").values()
]  # fmt: skip


def test_rights_are_given_to_roles_with_the_boundary_alone() -> None:
    for action in ("iam:CreateRole", "iam:PutRolePolicy", "iam:PutRolePermissionsBoundary"):
        (item,) = granting(action)
        assert item["Condition"] == {"StringEquals": {"iam:PermissionsBoundary": BOUNDARY}}
    for action in ("iam:AttachRolePolicy", "iam:CreatePolicyVersion", "iam:CreateUser", "iam:PutUserPolicy", "iam:CreatePolicy"):
        assert not list(granting(action))


def test_the_role_changes_and_hands_over_the_roles_of_the_templates_and_no_others() -> None:
    for item in statements(role()):
        if item["Effect"] == "Allow" and any(action.startswith("iam:") for action in listed(item["Action"])):
            names = [resource["Fn::Sub"].rpartition("role/")[2] for resource in item["Resource"]]
            assert sorted(names) == sorted(ROLES)
    (passing,) = granting("iam:PassRole")
    services = {"glue.amazonaws.com", "events.amazonaws.com", "lambda.amazonaws.com"}
    assert set(passing["Condition"]["StringEquals"]["iam:PassedToService"]) == services


def test_nobody_takes_the_boundary_off_or_changes_it() -> None:
    denied = {item["Sid"]: (item["Action"], item["Resource"]) for item in statements(role()) if item["Effect"] == "Deny"}
    assert denied["TheBoundaryStays"] == ("iam:DeleteRolePermissionsBoundary", "*")
    assert denied["AndStaysAsItIs"] == ("iam:*", BOUNDARY)


def test_the_boundary_allows_nothing_that_gives_rights() -> None:
    actions = {action for item in boundary() for action in listed(item["Action"])}
    assert not [action for action in actions if "*" in action or action.startswith(("iam:", "sts:", "lambda:", "cloudformation:"))]
    everywhere = {action for item in boundary() if item["Resource"] == "*" for action in listed(item["Action"])}
    assert {action.partition(":")[0] for action in everywhere} == {"cloudwatch", "ec2"}


@pytest.mark.parametrize("name", ["roles", "alerts"])
def test_every_role_of_the_templates_has_the_boundary_that_is_given(name: str) -> None:
    given = {"Fn::If": ["HasBoundary", {"Ref": "PermissionsBoundary"}, {"Ref": "AWS::NoValue"}]}
    for properties in resources(name, "AWS::IAM::Role").values():
        assert properties["PermissionsBoundary"] == given
    assert template(name)["Conditions"]["HasBoundary"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "PermissionsBoundary"}, ""]}]}
