"""Ask a deployment that has run what only AWS can answer. Each answer is one line, without a secret."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import boto3
from totesys.errors import FatalError
from totesys.runtime.alerts import Alert, send

from operations.deployment.deployment import Deployment
from operations.deployment.stacks import stack_outputs
from operations.workflows.heartbeat import heartbeat_alarm

_LOGS = {"ingest": "/aws-glue/python-jobs/output", "transform": "/aws-glue/jobs/output", "load": "/aws-glue/jobs/output"}
_ENVIRONMENT = "runs on Python"  # the jobs' first log line begins with it
_ALERT_ARRIVES_WITHIN = 120.0  # seconds; on AWS it takes a few
_LONGEST_WAIT = 20  # seconds, of one request to SQS


def answers(session: boto3.Session, deployment: Deployment) -> Iterator[tuple[str, str]]:
    """Yield pairs of a question and its answer."""
    glue, project = session.client("glue"), deployment.project
    trigger = glue.get_trigger(Name=f"{project}-publish-start")["Trigger"]
    pages = glue.get_paginator("get_workflow_runs").paginate(Name=deployment.publish_workflow)
    runs = [run for page in pages for run in page["Runs"]]
    by_event = [run for run in runs if "aws:eventIds" in run.get("WorkflowRunProperties", {})]
    yield "state of the EVENT trigger, and runs that it started", f"{trigger['State']}; {len(by_event)} of {len(runs)} publish runs"
    started = [run["StartedOn"] for run in runs]
    yield "order in which GetWorkflowRuns answers", "newest first" if started == sorted(started, reverse=True) else "another"
    for job, name in (("ingest", deployment.ingest_job), ("transform", deployment.transform_job), ("load", deployment.load_job)):
        yield f"what {job} runs on", job_environment(session, name, _LOGS[job])
    alarm = session.client("cloudwatch").describe_alarms(AlarmNames=[heartbeat_alarm(project)])["MetricAlarms"][0]
    yield f"alarm {alarm['AlarmName']}", alarm["StateValue"]


def job_environment(session: boto3.Session, job: str, log_group: str) -> str:
    """Return Python, glibc and SDK of a job's last run, from its first log line."""
    last = session.client("glue").get_job_runs(JobName=job)["JobRuns"][0]  # the newest run is first
    logs = session.client("logs")
    for event in logs.get_log_events(logGroupName=log_group, logStreamName=last["Id"], startFromHead=True, limit=100)["events"]:
        if _ENVIRONMENT in event["message"]:
            return str(json.loads(event["message"])["message"]).removeprefix("runs on ")
    return f"unknown: the log {log_group} of run {last['Id']} does not say"


def alert_arrives(session: boto3.Session, project: str) -> float:
    """Send an alert as a job does, by EventBridge, and return the seconds until a subscriber of the topic has it.

    Raises FatalError when it does not arrive.
    """
    topic = stack_outputs(session, f"{project}-alerts")["AlertsTopic"]
    with _subscriber(session, topic, f"{project}-smoke") as queue:
        sent_at = time.monotonic()
        send(session.client("events"), project, [Alert("smoke test", "design", 0, 'scripts/smoke.sh says: "no action is needed"')])
        while time.monotonic() < sent_at + _ALERT_ARRIVES_WITHIN:
            received = session.client("sqs").receive_message(QueueUrl=queue, WaitTimeSeconds=_LONGEST_WAIT).get("Messages", ())
            if any("smoke test" in message["Body"] for message in received):
                return time.monotonic() - sent_at
    raise FatalError(
        f"an alert did not arrive within {_ALERT_ARRIVES_WITHIN:.0f} s: see the queue {project}-undelivered-alerts, the topic's policy and"
        " its key"
    )


@contextmanager
def _subscriber(session: boto3.Session, topic: str, name: str) -> Iterator[str]:
    """Yield the URL of a queue that gets the topic's messages. Queue and subscription are removed afterwards."""
    sqs, sns = session.client("sqs"), session.client("sns")
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    try:
        arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        statement = {
            "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
        }  # fmt: skip
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps({"Version": "2012-10-17", "Statement": [statement]})})
        subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, ReturnSubscriptionArn=True)["SubscriptionArn"]
        try:
            yield queue
        finally:
            sns.unsubscribe(SubscriptionArn=subscription)
    finally:
        sqs.delete_queue(QueueUrl=queue)
