"""The resource types that the project's templates use: each deploys by a change set, updates, and goes."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from xml.etree import ElementTree

import pytest

from local_aws.cloudformation.resources import lifecycle_xml
from tests.support.local_aws.machine import LocalAws, wait_until

RULES = [
    {"Id": "old-versions", "Status": "Enabled", "NoncurrentVersionExpiration": {"NoncurrentDays": 30, "NewerNoncurrentVersions": 2}},
    {"Id": "unfinished", "Status": "Enabled", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}},
    {"Id": "results", "Status": "Enabled", "Prefix": "athena/", "ExpirationInDays": 14},
]


def template(days: int) -> dict[str, Any]:
    bucket = {
        "BucketName": "cfn-lake",
        "VersioningConfiguration": {"Status": "Enabled"},
        "BucketEncryption": {"ServerSideEncryptionConfiguration": [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]},
        "PublicAccessBlockConfiguration": dict.fromkeys(
            ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"), True
        ),
        "LifecycleConfiguration": {"Rules": [*RULES[:2], {**RULES[2], "ExpirationInDays": days}]},
    }
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": {"Fn::Sub": "${Lake.Arn}/*"}}
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "glue.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
    statement = {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": {"Ref": "Secret"}}
    connection = {
        "Name": "cfn-source",
        "ConnectionType": "JDBC",
        "ConnectionProperties": {
            "JDBC_CONNECTION_URL": "jdbc:postgresql://host:5432/db",
            "SECRET_ID": {"Ref": "Secret"},
        },
    }
    account = {"Ref": "AWS::AccountId"}
    types: dict[str, tuple[str, dict[str, Any]]] = {
        "Lake": ("S3::Bucket", bucket),
        "Policy": ("S3::BucketPolicy", {"Bucket": {"Ref": "Lake"}, "PolicyDocument": {"Version": "2012-10-17", "Statement": [deny]}}),
        "Secret": ("SecretsManager::Secret", {"Name": "cfn/source", "GenerateSecretString": {"PasswordLength": 24}}),
        "Role": (
            "IAM::Role",
            {"AssumeRolePolicyDocument": trust, "Policies": [{"PolicyName": "read", "PolicyDocument": {"Statement": [statement]}}]},
        ),
        "Database": ("Glue::Database", {"CatalogId": account, "DatabaseInput": {"Name": "cfn_lake", "Description": f"{days} days"}}),
        "Connection": ("Glue::Connection", {"CatalogId": account, "ConnectionInput": connection}),
        "Group": ("Athena::WorkGroup", {"Name": "cfn-group", "Description": f"{days} days"}),
        "Query": (
            "Athena::NamedQuery",
            {"Name": "days", "Database": {"Ref": "Database"}, "WorkGroup": {"Ref": "Group"}, "QueryString": f"SELECT {days}"},
        ),
        "Logs": ("Logs::LogGroup", {"LogGroupName": "/aws-glue/cfn/output", "RetentionInDays": days}),
        "Job": (
            "Glue::Job",
            {
                "Name": "cfn-job",
                "Role": {"Fn::GetAtt": ["Role", "Arn"]},
                "Command": {"Name": "glueetl", "ScriptLocation": {"Fn::Sub": "s3://${Lake}/job.py"}, "PythonVersion": "3"},
                "Connections": {"Connections": [{"Ref": "Connection"}]},
                "DefaultArguments": {"--days": str(days)},
                "ExecutionProperty": {"MaxConcurrentRuns": 2},
            },
        ),
    }
    resources = {name: {"Type": f"AWS::{kind}", "Properties": properties} for name, (kind, properties) in types.items()}
    outputs = {
        "BucketArn": {"Value": {"Fn::GetAtt": ["Lake", "Arn"]}},
        "RoleArn": {"Value": {"Fn::GetAtt": ["Role", "Arn"]}},
        "LogsArn": {"Value": {"Fn::GetAtt": ["Logs", "Arn"]}},
    }
    return {"Resources": resources, "Outputs": outputs}


def test_a_stack_is_complete_before_the_next_question_is_answered(aws: LocalAws) -> None:
    """Otherwise a waiter, which looks every half minute, would wait for that long."""
    body = json.dumps({"Resources": {f"Group{number}": {"Type": "AWS::Logs::LogGroup"} for number in range(8)}})

    def seen(number: int) -> str:
        name = f"quick-{number}"
        aws.cloudformation.create_stack(StackName=name, TemplateBody=body)
        (stack,) = aws.cloudformation.describe_stacks(StackName=name)["Stacks"]
        aws.cloudformation.delete_stack(StackName=name)
        return str(stack["StackStatus"])

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(seen, range(80))) == {"CREATE_COMPLETE"}


def test_every_type_deploys_updates_and_goes(aws: LocalAws) -> None:
    aws.stack("everything", template(14))
    outputs = aws.cloudformation.describe_stacks(StackName="everything")["Stacks"][0]["Outputs"]
    arns = {output["OutputKey"]: output["OutputValue"] for output in outputs}
    assert arns["BucketArn"] == "arn:aws:s3:::cfn-lake"
    assert arns["RoleArn"].startswith("arn:aws:iam::000000000000:role/")
    assert arns["LogsArn"].startswith("arn:aws:logs:eu-west-2:000000000000:log-group:/aws-glue/cfn/output")
    job = aws.glue.get_job(JobName="cfn-job")["Job"]
    assert (job["Role"], job["ExecutionProperty"]) == (arns["RoleArn"], {"MaxConcurrentRuns": 2})
    assert json.loads(aws.s3.get_bucket_policy(Bucket="cfn-lake")["Policy"])["Statement"][0]["Effect"] == "Deny"
    assert aws.glue.get_connection(Name="cfn-source")["Connection"]["ConnectionProperties"]["SECRET_ID"].startswith(
        "arn:aws:secretsmanager:eu-west-2:"
    )

    aws.stack("everything", template(30))
    lifecycle = {rule["ID"]: rule for rule in aws.s3.get_bucket_lifecycle_configuration(Bucket="cfn-lake")["Rules"]}
    assert lifecycle["results"]["Expiration"] == {"Days": 30}
    assert lifecycle["old-versions"]["NoncurrentVersionExpiration"]["NoncurrentDays"] == 30
    assert lifecycle["unfinished"]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    assert aws.glue.get_job(JobName="cfn-job")["Job"]["DefaultArguments"] == {"--days": "30"}
    assert aws.glue.get_database(Name="cfn_lake")["Database"]["Description"] == "30 days"
    assert aws.logs.describe_log_groups(logGroupNamePrefix="/aws-glue/cfn")["logGroups"][0]["retentionInDays"] == 30
    athena = aws.client("athena")
    (saved,) = athena.list_named_queries(WorkGroup="cfn-group")["NamedQueryIds"]
    assert athena.get_named_query(NamedQueryId=saved)["NamedQuery"]["QueryString"] == "SELECT 30"

    aws.cloudformation.delete_stack(StackName="everything")
    wait_until("deletion", lambda: "cfn-lake" not in {bucket["Name"] for bucket in aws.s3.list_buckets()["Buckets"]})
    assert "cfn-job" not in {job["Name"] for job in aws.glue.get_jobs()["Jobs"]}
    assert athena.list_named_queries(WorkGroup="cfn-group")["NamedQueryIds"] == []


def test_a_lifecycle_rule_that_would_be_dropped_is_refused() -> None:
    with pytest.raises(ValueError, match="Transitions is not supported"):
        lifecycle_xml({"Rules": [{"Status": "Enabled", "Transitions": []}]})


def test_a_flag_of_a_lifecycle_rule_is_written_as_s3_reads_it() -> None:
    body = ElementTree.fromstring(lifecycle_xml({"Rules": [{"Status": "Enabled", "ExpiredObjectDeleteMarker": True}]}))
    assert body.findtext("Rule/Expiration/ExpiredObjectDeleteMarker") == "true"


def test_a_role_has_the_boundary_that_its_template_names_until_it_names_none(aws: LocalAws) -> None:
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "glue.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
    most = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}
    policy = {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"ManagedPolicyName": "most", "PolicyDocument": most}}

    def boundary_with(**properties: Any) -> str | None:
        role = {"RoleName": "bounded", "AssumeRolePolicyDocument": trust, **properties}
        aws.stack("bounded", {"Resources": {"Most": policy, "Role": {"Type": "AWS::IAM::Role", "Properties": role}}})
        found = aws.client("iam").get_role(RoleName="bounded")["Role"].get("PermissionsBoundary", {})
        return found.get("PermissionsBoundaryArn")

    arn = "arn:aws:iam::000000000000:policy/most"
    assert boundary_with(PermissionsBoundary={"Ref": "Most"}) == arn
    assert boundary_with(Description="changed", PermissionsBoundary={"Ref": "Most"}) == arn
    assert boundary_with() is None
