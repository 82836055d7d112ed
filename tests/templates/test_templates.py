"""The templates as data: what no stack on one machine would show, and what must not slip away when they are edited."""

from __future__ import annotations

import re
from dataclasses import asdict, fields
from pathlib import Path

import pytest
from totesys.ingest.pending import EVENT_SOURCE, EVENT_TYPE
from totesys.runtime import alerts
from totesys.runtime.alerts import Alert
from totesys.runtime.arguments import IngestArguments, LoadArguments, TransformArguments

from operations.deployment.stacks import STACKS
from tests.support.cloudformation import FOLDER, NAMES, PATHS, actions, listed, resources, statements, template

GIVEN_BY_GLUE = {"WORKFLOW_NAME", "WORKFLOW_RUN_ID"}


def test_there_is_one_template_per_stack_that_the_deploy_makes() -> None:
    assert sorted(NAMES) == sorted([*STACKS, "ci"])  # ci is made by a person, once


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_says_what_it_is_and_what_it_may_be(name: str) -> None:
    for key, parameter in template(name)["Parameters"].items():
        assert parameter["Description"].endswith("."), key
        assert parameter.keys() & {"AllowedValues", "AllowedPattern", "MinValue"}, key
        assert "Default" in parameter or key in REQUIRED, key


# Their value is an address that only the deploy knows; and the repository, which only a person does.
REQUIRED = {
    "IngestScript", "TransformScript", "LoadScript", "IngestWheels", "SparkWheels", "SourceJdbcUrl", "WarehouseJdbcUrl", "Repository",
    "CodeVersion",
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_output_is_described_and_exported(name: str) -> None:
    for key, output in template(name).get("Outputs", {}).items():
        assert output["Description"], key
        assert output["Export"]["Name"]["Fn::Sub"] == "${AWS::StackName}-" + key


@pytest.mark.parametrize("name", NAMES)
def test_every_import_names_an_export_of_an_earlier_stack(name: str) -> None:
    for project, stack, output in re.findall(r"(\$\{Project\})-(\w+)-(\w+)\"}", (FOLDER / f"{name}.yaml").read_text()):
        assert STACKS.index(stack) < STACKS.index(name), f"{project}-{stack}"
        assert output in template(stack)["Outputs"]


@pytest.mark.parametrize("path", PATHS, ids=NAMES)
def test_every_wildcard_has_its_reason_beside_it(path: Path) -> None:
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines):
        code, _, comment = line.partition("#")
        code = re.sub(r"\(\*\)|SELECT \*|\w \* \w", "", code)  # SQL's stars give nobody a right
        if "*" in code and "cron(" not in code and '"expression":' not in code:
            assert "wildcard" in comment or "wildcard" in lines[number - 1], f"{path.name}:{number + 1}: {line.strip()}"


@pytest.mark.parametrize("path", PATHS, ids=NAMES)
def test_no_template_names_an_account_a_region_or_a_partition(path: Path) -> None:
    assert not re.search(r"\b\d{12}\b|arn:aws|\b[a-z]{2}-[a-z]+-\d\b", path.read_text())


def test_every_bucket_is_private_encrypted_and_versioned() -> None:
    buckets = resources("storage", "AWS::S3::Bucket")
    assert len(buckets) == 3
    for bucket in buckets.values():
        assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
        assert len(bucket["PublicAccessBlockConfiguration"]) == 4
        assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
        assert bucket["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]


def test_every_bucket_refuses_what_comes_without_tls_or_from_another_account() -> None:
    refusing = set()
    for policy in resources("storage", "AWS::S3::BucketPolicy").values():
        plain, foreign = policy["PolicyDocument"]["Statement"]
        assert plain["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert foreign["Condition"] == {
            "StringNotEquals": {"aws:PrincipalAccount": {"Ref": "AWS::AccountId"}},
            "BoolIfExists": {"aws:PrincipalIsAWSService": "false"},
        }
        bucket = policy["Bucket"]["Ref"]
        for statement in (plain, foreign):
            assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
            assert statement["Resource"] == [{"Fn::GetAtt": [bucket, "Arn"]}, {"Fn::Sub": "${" + bucket + ".Arn}/*"}]
        refusing.add(bucket)
    assert refusing == set(resources("storage", "AWS::S3::Bucket"))


def test_a_key_that_is_given_encrypts_data_results_and_secrets_and_every_job_may_use_it() -> None:
    given, none = {"Ref": "KmsKeyArn"}, {"Ref": "AWS::NoValue"}
    for bucket in resources("storage", "AWS::S3::Bucket").values():
        (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"] == {
            "SSEAlgorithm": {"Fn::If": ["HasKey", "aws:kms", "AES256"]},
            "KMSMasterKeyID": {"Fn::If": ["HasKey", given, none]},
        }
    (workgroup,) = resources("catalog", "AWS::Athena::WorkGroup").values()
    assert workgroup["WorkGroupConfiguration"]["ResultConfiguration"]["EncryptionConfiguration"] == {
        "EncryptionOption": {"Fn::If": ["HasKey", "SSE_KMS", "SSE_S3"]},
        "KmsKey": {"Fn::If": ["HasKey", given, none]},
    }
    for secret in resources("secrets", "AWS::SecretsManager::Secret").values():
        assert secret["KmsKeyId"] == {"Fn::If": ["HasKey", given, none]}
    users = [*(resources("roles", "AWS::IAM::Role")[f"{job}Role"] for job in ("Ingest", "Transform", "Load"))]
    for role in (*users, *resources("ci", "AWS::IAM::Role").values()):
        assert {"kms:Decrypt", "kms:GenerateDataKey"} <= actions(role, on="KmsKeyArn")


def test_no_rule_ends_the_life_of_data_only_of_old_versions_unfinished_uploads_and_query_results() -> None:
    for name, bucket in resources("storage", "AWS::S3::Bucket").items():
        expiring = [rule for rule in bucket["LifecycleConfiguration"]["Rules"] if "ExpirationInDays" in rule]
        assert [rule["Prefix"] for rule in expiring] == (["athena-results/"] if name == "ArtifactsBucket" else [])
        ids = {rule["Id"] for rule in bucket["LifecycleConfiguration"]["Rules"]}
        assert ids >= {"noncurrent-versions", "unfinished-uploads", "delete-markers"}


def test_a_delete_marker_goes_once_it_hides_nothing() -> None:
    for bucket in resources("storage", "AWS::S3::Bucket").values():
        (rule,) = (rule for rule in bucket["LifecycleConfiguration"]["Rules"] if "ExpiredObjectDeleteMarker" in rule)
        # S3 refuses a rule that also expires objects after days, and a prefix would leave the other markers.
        assert rule == {"Id": "delete-markers", "Status": "Enabled", "ExpiredObjectDeleteMarker": True}


def test_the_subnets_needs_are_all_that_the_jobs_call() -> None:
    description = template("jobs")["Parameters"]["SubnetId"]["Description"]
    for service in ("S3", "Glue", "Secrets Manager", "EventBridge", "CloudWatch (monitoring)", "CloudWatch Logs"):
        assert service in description


def test_no_bucket_goes_with_its_stack() -> None:
    for body in template("storage")["Resources"].values():
        if body["Type"] == "AWS::S3::Bucket":
            assert (body["DeletionPolicy"], body["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")


def test_no_secret_has_a_value_in_a_template() -> None:
    secrets = resources("secrets", "AWS::SecretsManager::Secret")
    assert len(secrets) == 2
    for secret in secrets.values():
        assert secret.keys() == {"Name", "Description", "KmsKeyId"}


def test_queries_have_one_place_for_results_and_a_limit() -> None:
    (workgroup,) = resources("catalog", "AWS::Athena::WorkGroup").values()
    settings = workgroup["WorkGroupConfiguration"]
    assert settings["EnforceWorkGroupConfiguration"] is settings["PublishCloudWatchMetricsEnabled"] is True
    assert settings["BytesScannedCutoffPerQuery"] == {"Ref": "QueryScanLimit"}
    assert "athena-results/" in str(settings["ResultConfiguration"]["OutputLocation"])


@pytest.mark.parametrize(("job", "arguments"), [("Ingest", IngestArguments), ("Transform", TransformArguments), ("Load", LoadArguments)])
def test_a_job_is_given_exactly_the_arguments_that_its_script_takes(job: str, arguments: type) -> None:
    given = resources("jobs", "AWS::Glue::Job")[f"{job}Job"]["DefaultArguments"]
    ours = {name[2:] for name in given if name.startswith("--") and "-" not in name[2:] and name != "--conf"}
    assert ours == {field.name for field in fields(arguments)} - GIVEN_BY_GLUE


def test_a_job_runs_once_at_a_time_is_not_retried_and_ends() -> None:
    for job in resources("jobs", "AWS::Glue::Job").values():
        assert job["ExecutionProperty"] == {"MaxConcurrentRuns": 1}
        assert job["MaxRetries"] == 0
        assert job["Timeout"] == {"Ref": "TimeoutMinutes"}


def test_ingest_is_a_python_shell_of_a_sixteenth_of_a_unit_with_our_libraries_alone() -> None:
    job = resources("jobs", "AWS::Glue::Job")["IngestJob"]
    assert (job["Command"]["Name"], job["Command"]["PythonVersion"], job["MaxCapacity"]) == ("pythonshell", "3.9", 0.0625)
    assert job["DefaultArguments"]["library-set"] == "none"
    assert "GlueVersion" not in job


@pytest.mark.parametrize("name", ["TransformJob", "LoadJob"])
def test_a_spark_job_asks_no_registry_for_its_modules(name: str) -> None:
    job = resources("jobs", "AWS::Glue::Job")[name]
    assert (job["Command"]["Name"], job["GlueVersion"]) == ("glueetl", "5.1")
    assert job["DefaultArguments"]["--python-modules-installer-option"] == "--no-index --no-deps"
    assert job["DefaultArguments"]["--additional-python-modules"] == {"Ref": "SparkWheels"}


def test_every_trigger_has_what_glue_demands() -> None:
    for trigger in resources("workflows", "AWS::Glue::Trigger").values():
        assert trigger["WorkflowName"]
        assert trigger.get("StartOnCreation", False) is (trigger["Type"] != "EVENT")  # which stays CREATED for life
        if trigger["Type"] == "SCHEDULED":
            assert trigger["Schedule"] == {"Ref": "Schedule"}
        elif trigger["Type"] == "EVENT":
            assert trigger["EventBatchingCondition"] == {"BatchSize": 1}
        else:
            assert trigger["Predicate"]["Logical"] == "AND"
            assert {condition["LogicalOperator"] for condition in trigger["Predicate"]["Conditions"]} == {"EQUALS"}


def test_every_workflow_has_one_start_trigger_and_runs_once_at_a_time() -> None:
    triggers = resources("workflows", "AWS::Glue::Trigger").values()
    workflows = resources("workflows", "AWS::Glue::Workflow")
    starts = [trigger["WorkflowName"]["Ref"] for trigger in triggers if trigger["Type"] != "CONDITIONAL"]
    assert sorted(starts) == sorted(workflows)
    assert {workflow["MaxConcurrentRuns"] for workflow in workflows.values()} == {1}


def test_ingest_runs_every_five_minutes_unless_told_otherwise() -> None:
    assert template("workflows")["Parameters"]["Schedule"]["Default"] == "cron(0/5 * * * ? *)"


def test_the_event_of_ingest_starts_publish_and_only_that_of_this_project() -> None:
    (rule,) = resources("workflows", "AWS::Events::Rule").values()
    assert rule["EventPattern"]["source"] == [EVENT_SOURCE]
    assert rule["EventPattern"]["detail-type"] == [EVENT_TYPE]
    assert rule["EventPattern"]["detail"] == {"publish_workflow": [{"Fn::Sub": "${Project}-publish"}]}
    (target,) = rule["Targets"]
    assert target["Arn"]["Fn::Sub"].endswith(":workflow/${PublishWorkflow}")
    (allowed,) = statements(resources("roles", "AWS::IAM::Role")["EventRole"])
    assert allowed["Action"] == "glue:notifyEvent"
    assert allowed["Resource"]["Fn::Sub"].endswith(":workflow/${Project}-publish")


def test_every_job_has_a_role_of_its_own() -> None:
    roles = [job["Role"]["Fn::ImportValue"]["Fn::Sub"] for job in resources("jobs", "AWS::Glue::Job").values()]
    assert roles == [f"${{Project}}-roles-{job}RoleArn" for job in ("Ingest", "Transform", "Load")]


def test_raw_data_is_written_by_ingest_alone_and_deleted_by_nobody() -> None:
    roles = resources("roles", "AWS::IAM::Role")
    assert "s3:PutObject" in actions(roles["IngestRole"], on="IngestionBucket")
    assert actions(roles["TransformRole"], on="IngestionBucket") == {"s3:GetObject", "s3:ListBucket"}
    assert actions(roles["LoadRole"], on="IngestionBucket") == set()
    assert not [action for role in roles.values() for action in actions(role, on="IngestionBucket") if "Delete" in action]


def test_ingest_reads_both_secrets_and_load_the_warehouses() -> None:
    roles = resources("roles", "AWS::IAM::Role")
    assert [name for name, role in roles.items() if actions(role, on="SourceSecretArn")] == ["IngestRole"]
    assert [name for name, role in roles.items() if actions(role, on="WarehouseSecretArn")] == ["IngestRole", "LoadRole"]


def test_load_writes_nothing_to_the_lake() -> None:
    assert not [item for item in statements(resources("roles", "AWS::IAM::Role")["LoadRole"]) if "s3:PutObject" in listed(item["Action"])]


def test_alerts_come_from_our_rules_and_alarms_alone_and_over_tls() -> None:
    (policy,) = resources("alerts", "AWS::SNS::TopicPolicy").values()
    rules, alarms, refuse = policy["PolicyDocument"]["Statement"]
    assert (rules["Effect"], rules["Principal"]) == ("Allow", {"Service": "events.amazonaws.com"})
    assert rules["Condition"] == {"ArnEquals": {"aws:SourceArn": [{"Fn::GetAtt": [rule, "Arn"]} for rule in ("AlertRule", "JobRule")]}}
    assert (alarms["Effect"], alarms["Principal"]) == ("Allow", {"Service": "cloudwatch.amazonaws.com"})
    assert alarms["Condition"]["ArnLike"]["aws:SourceArn"]["Fn::Sub"].endswith(":alarm:${Project}-*")
    assert (refuse["Effect"], refuse["Principal"]) == ("Deny", "*")
    assert refuse["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert [statement["Action"] for statement in (rules, alarms, refuse)] == ["sns:Publish"] * 3
    assert policy["Topics"] == [{"Ref": "AlertsTopic"}]


def test_alerts_are_encrypted_by_a_key_that_rules_and_alarms_may_use() -> None:
    (topic,) = resources("alerts", "AWS::SNS::Topic").values()
    assert topic["KmsMasterKeyId"] == {"Ref": "AlertsKey"}
    (key,) = resources("alerts", "AWS::KMS::Key").values()
    assert key["EnableKeyRotation"] is True
    account, senders = key["KeyPolicy"]["Statement"]
    assert account["Principal"]["AWS"]["Fn::Sub"].endswith(":root")
    assert senders["Principal"] == {"Service": ["events.amazonaws.com", "cloudwatch.amazonaws.com"]}
    assert senders["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]


def test_only_alerts_of_this_project_go_to_its_topic_with_all_that_an_alert_says() -> None:
    rule = resources("alerts", "AWS::Events::Rule")["AlertRule"]
    assert rule["EventPattern"] == {"source": [alerts.EVENT_SOURCE], "detail": {"project": [{"Ref": "Project"}]}}
    (target,) = rule["Targets"]
    assert target["Arn"] == {"Ref": "AlertsTopic"}
    assert "RoleArn" not in target  # with one, EventBridge passes the topic's policy by, and fails at an encrypted topic
    paths, lines = target["InputTransformer"]["InputPathsMap"], target["InputTransformer"]["InputTemplate"]["Fn::Sub"].splitlines()
    said = asdict(Alert("table held", "staff", 7, "text"))
    assert set(paths.values()) == {"$.detail-type", "$.time", "$.detail.project", *(f"$.detail.{name}" for name in said if name != "kind")}
    assert set(re.findall("<([a-z]+)>", "".join(lines))) == set(paths)
    assert all(re.fullmatch('"[^"]*"', line) for line in lines)


def test_alerts_are_mailed_only_to_an_address_that_is_given() -> None:
    assert template("alerts")["Parameters"]["AlertEmail"]["Default"] == ""
    assert template("alerts")["Conditions"]["HasEmail"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "AlertEmail"}, ""]}]}
    assert template("alerts")["Resources"]["AlertMail"]["Condition"] == "HasEmail"
    mail = resources("alerts", "AWS::SNS::Subscription")["AlertMail"]
    assert (mail["Protocol"], mail["Endpoint"]) == ("email", {"Ref": "AlertEmail"})


@pytest.mark.parametrize(("role", "sources"), [
    ("IngestRole", [EVENT_SOURCE, alerts.EVENT_SOURCE]), ("TransformRole", [alerts.EVENT_SOURCE]), ("LoadRole", [alerts.EVENT_SOURCE]),
])  # fmt: skip
def test_a_job_puts_no_events_but_its_own(role: str, sources: list[str]) -> None:
    putting = [item for item in statements(resources("roles", "AWS::IAM::Role")[role]) if "events:PutEvents" in listed(item["Action"])]
    assert [source for item in putting for source in listed(item["Condition"]["StringEquals"]["events:source"])] == sources


@pytest.mark.parametrize(("role", "workflow"), [("IngestRole", "ingest"), ("TransformRole", "publish"), ("LoadRole", "publish")])
def test_a_job_reads_the_demands_of_its_own_workflow(role: str, workflow: str) -> None:
    reading = [
        item for item in statements(resources("roles", "AWS::IAM::Role")[role]) if "glue:GetWorkflowRunProperties" in listed(item["Action"])
    ]
    assert [item["Resource"]["Fn::Sub"].endswith(f":workflow/${{Project}}-{workflow}") for item in reading] == [True]


def test_the_jobs_logs_do_not_stay_for_ever() -> None:
    groups = resources("jobs", "AWS::Logs::LogGroup")
    assert {group["LogGroupName"] for group in groups.values()} == {
        "/aws-glue/python-jobs/output", "/aws-glue/python-jobs/error", "/aws-glue/jobs/output", "/aws-glue/jobs/error",
    }  # fmt: skip
    assert all(group["RetentionInDays"] == {"Ref": "LogDays"} for group in groups.values())


def test_a_connection_holds_no_credentials_and_is_attached_in_a_vpc_only() -> None:
    for connection in resources("jobs", "AWS::Glue::Connection").values():
        assert connection["ConnectionInput"]["ConnectionProperties"].keys() == {"JDBC_CONNECTION_URL", "JDBC_ENFORCE_SSL", "SECRET_ID"}
        assert connection["ConnectionInput"]["PhysicalConnectionRequirements"]["Fn::If"][0] == "InVpc"
    attached = {name: job.get("Connections", {}).get("Fn::If", [None])[0] for name, job in resources("jobs", "AWS::Glue::Job").items()}
    assert attached == {"IngestJob": "InVpc", "TransformJob": None, "LoadJob": "InVpc"}
