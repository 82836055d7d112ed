"""Check that a deployed stack is complete: look up each resource of its template through its own service, and activate triggers.

EVENT triggers are only looked up, because they have only one state.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from totesys.errors import FatalError

from operations.aws import explain
from operations.deployment.templates import Template
from operations.workflows.heartbeat import mute_alarm
from operations.workflows.trigger import activate, deactivate

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_sns import SNSClient

_MISSING = re.compile(r"NotFound|NoSuch|NonExistent|DoesNotExist|^404$")  # in the services' codes for a missing resource
Client = Callable[[str], Any]  # a service's client by its name, which decides the client's type
Lookup = Callable[[Client, str], object]

LOOKUPS: dict[str, Lookup] = {
    "AWS::Athena::NamedQuery": lambda client, name: client("athena").get_named_query(NamedQueryId=name),
    "AWS::Athena::WorkGroup": lambda client, name: client("athena").get_work_group(WorkGroup=name),
    "AWS::CloudWatch::Alarm": lambda client, name: alarm(client("cloudwatch"), name),
    "AWS::CloudWatch::Dashboard": lambda client, name: client("cloudwatch").get_dashboard(DashboardName=name),
    "AWS::Events::Rule": lambda client, name: rule_with_target(client("events"), name),
    "AWS::Glue::Connection": lambda client, name: client("glue").get_connection(Name=name, HidePassword=True),
    "AWS::Glue::Database": lambda client, name: client("glue").get_database(Name=name),
    "AWS::Glue::Job": lambda client, name: client("glue").get_job(JobName=name),
    "AWS::Glue::Trigger": lambda client, name: activate(client("glue"), name),  # as CloudFormation does at creation only
    "AWS::Glue::Workflow": lambda client, name: client("glue").get_workflow(Name=name),
    "AWS::IAM::ManagedPolicy": lambda client, name: client("iam").get_policy(PolicyArn=name),
    "AWS::IAM::Role": lambda client, name: client("iam").get_role(RoleName=name),
    "AWS::KMS::Key": lambda client, name: client("kms").describe_key(KeyId=name),
    "AWS::Lambda::Function": lambda client, name: client("lambda").get_function(FunctionName=name),
    "AWS::Lambda::Permission": lambda client, name: None,  # has no name to look up
    "AWS::Logs::LogGroup": lambda client, name: log_group(client("logs"), name),
    "AWS::Logs::QueryDefinition": lambda client, name: saved_query(client("logs"), name),
    "AWS::S3::Bucket": lambda client, name: client("s3").get_bucket_policy(Bucket=name),  # every bucket has one
    "AWS::S3::BucketPolicy": lambda client, name: None,  # checked with its bucket: its physical id differs between services
    "AWS::SNS::Subscription": lambda client, name: client("sns").get_subscription_attributes(SubscriptionArn=name),
    "AWS::SNS::Topic": lambda client, name: topic_of_the_rule(client("sns"), name),
    "AWS::SNS::TopicPolicy": lambda client, name: None,  # checked with its topic
    "AWS::SQS::Queue": lambda client, name: client("sqs").get_queue_attributes(QueueUrl=name),
    "AWS::SQS::QueuePolicy": lambda client, name: None,  # has no look-up of its own
    "AWS::SecretsManager::Secret": lambda client, name: client("secretsmanager").describe_secret(SecretId=name),
}

# Keep a paused schedule paused, even if an update has activated it.
PAUSES: dict[str, Lookup] = {
    "AWS::CloudWatch::Alarm": lambda client, name: mute_alarm(client("cloudwatch"), name),
    "AWS::Glue::Trigger": lambda client, name: deactivate(client("glue"), name),
}


def prove_stack(client: Client, stack: str, template: Template, paused: Container[str] = ()) -> int:
    """Look up every resource of the stack's template, and return how many there are. FatalError names the first that is missing.

    Triggers are activated. Triggers and alarms that `paused` names are stopped instead.
    """
    described = client("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]
    resources = {resource["LogicalResourceId"]: resource for resource in described}
    for logical_id, conditional in template.resources.items():
        if logical_id not in resources and not conditional:
            raise FatalError(f"stack {stack} has no {logical_id}, which {template.path.name} describes: run scripts/deploy.sh again")
    for logical_id, resource in resources.items():
        what, kind, physical_id = f"{logical_id} of stack {stack}", resource["ResourceType"], resource["PhysicalResourceId"]
        if kind not in LOOKUPS:
            raise FatalError(f"{what} is an {kind}, and nothing proves those: add a look-up to operations/deploy/proof.py")
        look_up(client, what, (PAUSES if physical_id in paused else LOOKUPS)[kind], physical_id)
    return len(resources)


def look_up(client: Client, what: str, lookup: Lookup, physical_id: str) -> None:
    """Raise FatalError unless the resource's service knows it."""
    try:
        lookup(client, physical_id)
    except ClientError as error:
        if _MISSING.search(error.response["Error"]["Code"]):
            code = error.response["Error"]["Code"]
            raise FatalError(f"{what}, {physical_id}, is not behind the API ({code}): delete the stack and deploy again") from error
        raise FatalError(f"{what}, {physical_id}, could not be proved: {explain(error)}: correct that and deploy again") from error


def rule_with_target(events: EventBridgeClient, name: str) -> None:
    """Raise FatalError unless the rule is enabled and has a target."""
    rule = events.describe_rule(Name=name)
    if rule["State"] != "ENABLED" or not events.list_targets_by_rule(Rule=name)["Targets"]:
        raise FatalError(f"event rule {name} is disabled or has no target: enable it, or delete its stack and deploy again")


def topic_of_the_rule(sns: SNSClient, arn: str) -> None:
    """Raise FatalError unless EventBridge may publish to the topic. AWS's default policy does not allow it."""
    if "events.amazonaws.com" not in sns.get_topic_attributes(TopicArn=arn)["Attributes"].get("Policy", ""):
        raise FatalError(f"topic {arn} lets no event rule publish: delete the alerts stack and deploy again")


def log_group(logs: CloudWatchLogsClient, name: str) -> None:
    """Raise FatalError unless there is a log group of exactly that name."""
    groups = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    if name not in [group["logGroupName"] for group in groups]:
        raise FatalError(f"log group {name} is not there: delete the jobs stack and deploy again")


def alarm(cloudwatch: CloudWatchClient, name: str) -> None:
    """Raise FatalError unless there is a metric alarm of that name."""
    if not cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]:
        raise FatalError(f"alarm {name} is not there: delete the alarms stack and deploy again")


def saved_query(logs: CloudWatchLogsClient, query_id: str) -> None:
    """Raise FatalError unless a query is saved under that id."""
    found = logs.describe_query_definitions(maxResults=1000)["queryDefinitions"]
    if query_id not in [query["queryDefinitionId"] for query in found]:
        raise FatalError(f"saved query {query_id} is not there: delete the dashboard stack and deploy again")
