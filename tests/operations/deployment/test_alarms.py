"""Every alarm is raised in a deployed stack, and its message arrives at a subscriber; a pause and a deploy meanwhile keep one silent."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from totesys.errors import FatalError
from totesys.runtime.alerts import Alert, send

from local_aws.environment import aws_environment
from operations.cli.main import main
from operations.deployment import proof
from operations.deployment.change_sets import deploy_stack
from operations.deployment.proof import prove_stack
from operations.deployment.stacks import stack_outputs
from operations.deployment.templates import Template
from operations.workflows.heartbeat import heartbeat_alarm, unmute_heartbeat
from tests.support.local_aws.machine import wait_until
from tests.support.stack import PROJECT, DeployedStack

Messages = Callable[[str], str]  # waits for a text that begins so, or for the alarm of that name


@pytest.fixture(scope="module")
def messages(stack: DeployedStack) -> Iterator[Messages]:
    """What a queue that subscribes to the topic gets."""
    sqs, sns = stack.aws.client("sqs"), stack.aws.client("sns")
    queue = stack.aws.queue("alarms-test", "sns.amazonaws.com")
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topic = stack_outputs(stack.session, f"{PROJECT}-alerts")["AlertsTopic"]
    subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})["SubscriptionArn"]
    seen: list[str] = []

    def message(beginning: str) -> str:
        def look() -> str | None:
            received = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
            seen.extend(received["Body"] for received in received)
            beginnings = (f'"{beginning}', f'{{"AlarmName": "{beginning}"', f'{{"alert": "{beginning}')
            return next((body for body in seen if body.startswith(beginnings)), None)

        return str(wait_until(f"a message of {beginning}", look, 30))

    yield message
    sns.unsubscribe(SubscriptionArn=subscription)


def put(stack: DeployedStack, name: str, value: float, *, ago: timedelta = timedelta(0), **dimensions: str) -> None:
    """A metric of a job; every alarm looks when one is put."""
    named = [{"Name": key, "Value": text} for key, text in {"Project": PROJECT, **dimensions}.items()]
    datum = {"MetricName": name, "Dimensions": named, "Value": value, "Timestamp": datetime.now(timezone.utc) - ago}
    stack.aws.client("cloudwatch").put_metric_data(Namespace="Totesys", MetricData=[datum])


def state(stack: DeployedStack, alarm: str) -> str:
    (found,) = stack.aws.client("cloudwatch").describe_alarms(AlarmNames=[f"{PROJECT}-{alarm}"])["MetricAlarms"]
    return str(found["StateValue"])


@pytest.mark.parametrize(("alarm", "metric", "well", "raised", "dimensions", "section"), [
    ("late", "Freshness", 1500, 1501, {}, "the-warehouse-is-late"),
    ("slow-ingest", "Slowdown", 2, 2.1, {"Job": "ingest"}, "a-job-is-slow"),
    ("slow-transform", "Slowdown", 2, 2.1, {"Job": "transform"}, "a-job-is-slow"),
    ("slow-load", "Slowdown", 2, 2.1, {"Job": "load"}, "a-job-is-slow"),
    ("old-transaction", "OldestTransactionSeconds", 3600, 3601, {}, "a-transaction-stays-open"),
])  # fmt: skip
def test_a_metric_above_its_limit_is_told_with_what_to_do(
    stack: DeployedStack, messages: Messages, alarm: str, metric: str, well: float, raised: float, dimensions: dict[str, str], section: str
) -> None:
    put(stack, metric, well, **dimensions)
    assert state(stack, alarm) == "OK"
    put(stack, metric, raised, **dimensions)
    told = json.loads(messages(f"{PROJECT}-{alarm}"))
    assert told["NewStateValue"] == "ALARM"
    assert told["AlarmDescription"].endswith(f" docs/runbook.md#{section}")


def test_silence_is_told_once_it_has_lasted_twenty_minutes(stack: DeployedStack, messages: Messages) -> None:
    put(stack, "CaughtUp", 1, ago=timedelta(minutes=19, seconds=55))
    assert state(stack, "no-heartbeat") == "OK"

    def is_silent() -> bool:
        put(stack, "RowsRead", 0, Job="ingest")
        return state(stack, "no-heartbeat") == "INSUFFICIENT_DATA"

    wait_until("20 minutes without a value", is_silent)
    assert json.loads(messages(f"{PROJECT}-no-heartbeat"))["AlarmDescription"].endswith(" docs/runbook.md#no-heartbeat")


def test_silence_is_not_told_before_the_first_run(stack: DeployedStack, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in aws_environment(stack.aws.endpoint).items():
        monkeypatch.setenv(name, value)
    deploy_stack(stack.session, "new-alerts", Template.read("alerts"), {"Project": "new"})
    sqs = stack.aws.client("sqs")
    url = stack.aws.queue("told-of-new", "sns.amazonaws.com")
    topic, queue = stack_outputs(stack.session, "new-alerts")["AlertsTopic"], "arn:aws:sqs:eu-west-2:000000000000:told-of-new"
    stack.aws.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue, Attributes={"RawMessageDelivery": "true"})

    deploy_stack(stack.session, "new-alarms", Template.read("alarms"), {"Project": "new"})

    def told() -> list[str]:
        put(stack, "RowsRead", 0, Job="ingest")  # every alarm looks now
        messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        return [json.loads(message["Body"])["AlarmName"] for message in messages]

    assert told() == []
    put(stack, "CaughtUp", 1, ago=timedelta(minutes=19, seconds=57), Project="new")  # the first run succeeds
    assert wait_until("20 minutes without a value", told, 30) == ["new-no-heartbeat"]


@pytest.fixture
def command(stack: DeployedStack, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], int]:
    """Runs a command of scripts/totesys for the stack."""
    for name, value in {**aws_environment(stack.aws.endpoint), "TOTESYS_PROJECT": PROJECT}.items():
        monkeypatch.setenv(name, value)
    return lambda name: main([name])


def tells(stack: DeployedStack) -> bool:
    """Whether the heartbeat's alarm tells people."""
    (found,) = stack.aws.client("cloudwatch").describe_alarms(AlarmNames=[heartbeat_alarm(PROJECT)])["MetricAlarms"]
    return bool(found["ActionsEnabled"])


def test_a_paused_schedule_is_silent_and_a_resumed_one_has_twenty_minutes(stack: DeployedStack, command: Callable[[str], int]) -> None:
    cloudwatch, name = stack.aws.client("cloudwatch"), heartbeat_alarm(PROJECT)
    assert command("pause") == 0
    assert not tells(stack)
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="INSUFFICIENT_DATA", StateReason="a night without a run")
    assert command("resume") == 0
    assert tells(stack)
    assert state(stack, "no-heartbeat") == "OK"


def test_a_deploy_leaves_a_paused_alarm_silent_whatever_the_update_did_to_it(stack: DeployedStack) -> None:
    try:
        prove_stack(stack.aws.client, f"{PROJECT}-alarms", Template.read("alarms"), paused={heartbeat_alarm(PROJECT)})
        assert not tells(stack)
    finally:
        unmute_heartbeat(stack.aws.client("cloudwatch"), PROJECT)


def test_an_alarm_that_is_missing_fails_the_proof(stack: DeployedStack) -> None:
    template = Template.read("dashboard")
    assert prove_stack(stack.aws.client, f"{PROJECT}-dashboard", template) == len(template.resources)
    with pytest.raises(FatalError, match="alarm gone is not there"):
        proof.alarm(stack.aws.client("cloudwatch"), "gone")


def test_a_job_that_fails_is_told_with_its_reason(stack: DeployedStack, messages: Messages) -> None:
    secret = 'no "where" \\ else'  # what a job, Spark or Glue says may hold double quotes and backslashes
    run = stack.aws.glue.start_job_run(JobName=f"{PROJECT}-ingest", Arguments={"--source_secret": secret})["JobRunId"]
    ended(stack, run)
    told = json.loads(messages(f"{PROJECT}-ingest: FAILED, run {run}"))
    assert told["alert"].startswith(f"{PROJECT}-ingest: FAILED, run {run}, 20")
    assert secret in told["detail"]["message"]
    assert told["see"] == "docs/runbook.md#a-job-failed"


def test_a_job_that_somebody_stops_is_told(stack: DeployedStack, messages: Messages) -> None:
    """One that times out goes the same way; no run on this machine ends so within a minute."""
    glue, name = stack.aws.glue, f"{PROJECT}-ingest"
    run = glue.start_job_run(JobName=name)["JobRunId"]
    glue.batch_stop_job_run(JobName=name, JobRunIds=[run])
    ended(stack, run)
    assert messages(f"{name}: STOPPED, run {run}")


def ended(stack: DeployedStack, run: str) -> None:
    def is_over() -> bool:
        state = stack.aws.glue.get_job_run(JobName=f"{PROJECT}-ingest", RunId=run)["JobRun"]["JobRunState"]
        return state not in ("STARTING", "RUNNING", "STOPPING")

    wait_until("the run's end", is_over)


@contextmanager
def without_rules(stack: DeployedStack) -> Iterator[None]:
    """Meanwhile the topic's policy lets no rule publish."""
    sns, topic = stack.aws.client("sns"), stack_outputs(stack.session, f"{PROJECT}-alerts")["AlertsTopic"]
    policy = sns.get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"]
    refusing = policy.replace("events.amazonaws.com", "s3.amazonaws.com")
    sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=refusing)
    yield
    sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=policy)


def test_an_alert_that_no_rule_could_deliver_is_told(stack: DeployedStack, messages: Messages) -> None:
    with without_rules(stack):
        send(stack.aws.client("events"), PROJECT, [Alert("table held", "staff", 7, "staff: 12 of 20 rows are gone")])
    put(stack, "RowsRead", 1, Job="ingest")
    assert json.loads(messages(f"{PROJECT}-undelivered-events"))["NewStateValue"] == "ALARM"


def test_an_alert_that_the_topic_could_not_deliver_is_told(stack: DeployedStack, messages: Messages) -> None:
    """The topic on this machine counts no failures: the alarm's state is set by hand."""
    name = f"{PROJECT}-undelivered-messages"
    stack.aws.client("cloudwatch").set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="one was not delivered")
    assert json.loads(messages(name))["NewStateReason"] == "one was not delivered"


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[str]]]:
    """A server like Slack's: its URL, and the texts that were posted to it."""
    posted: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/services/webhook", posted
    server.shutdown()
    server.server_close()


def test_alerts_and_alarms_are_posted_to_the_webhook_that_the_secret_holds(
    stack: DeployedStack, webhook: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, posted = webhook
    for name, value in aws_environment(stack.aws.endpoint).items():
        monkeypatch.setenv(name, value)
    stack.aws.client("secretsmanager").create_secret(Name="team/slack", SecretString=url)
    template = Template.read("alerts")
    deploy_stack(stack.session, "slack-alerts", template, {"Project": "slack", "SlackSecret": "team/slack"})
    prove_stack(stack.aws.client, "slack-alerts", template)
    send(stack.aws.client("events"), "slack", [Alert("table held", "staff", 7, "staff: 12 of 20 rows are gone")])
    alarm = {"AlarmName": "slack-late", "NewStateValue": "ALARM", "AlarmDescription": "Late.", "NewStateReason": "1501 above 1500"}
    topic = stack_outputs(stack.session, "slack-alerts")["AlertsTopic"]
    stack.aws.client("sns").publish(TopicArn=topic, Message=json.dumps(alarm))
    wait_until("both posts", lambda: len(posted) == 2)
    told_alarm, told_alert = sorted(posted, key=lambda text: text.startswith('"'))
    assert told_alarm == "slack-late: ALARM\nLate.\n1501 above 1500"
    assert told_alert.splitlines()[1] == '"staff: 12 of 20 rows are gone"'
