"""An alert's way to people: the event, the rule, the topic, those who subscribe."""

from __future__ import annotations

from typing import Any

import pytest
from totesys.errors import FatalError
from totesys.runtime.alerts import Alert, send

from local_aws.environment import aws_environment
from operations.deployment.change_sets import deploy_stack
from operations.deployment.proof import prove_stack
from operations.deployment.stacks import stack_outputs
from operations.deployment.templates import Template
from tests.support.local_aws.machine import wait_until
from tests.support.stack import PROJECT, DeployedStack

KINDS = {
    "table held": "staff: 12 of 20 rows are gone. Nothing is lost",
    "rows in the dead letter": (
        "staff: 2 rows break the contract and are kept out, all others flow on: scripts/totesys deadletters show staff"
    ),
    "source changed": "staff.note: expected no such column, found text, which is not read (column_added)",
    "rows wait for a parent": "fact_payment: 3 rows wait for parents that the warehouse lacks: dim_currency (3)",
    "full read found a miss": "staff: 1 row was different though no delta would have offered it",
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_alert_of_this_project_reaches_a_subscriber_as_readable_text(stack: DeployedStack, kind: str) -> None:
    sqs, topic = stack.aws.client("sqs"), stack_outputs(stack.session, f"{PROJECT}-alerts")["AlertsTopic"]
    queue = stack.aws.queue(f"alerts-{kind.replace(' ', '-')}", "sns.amazonaws.com")
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    stack.aws.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})
    events = stack.aws.client("events")
    send(events, "another-project", [Alert(kind, "design", 3, "not ours")])
    send(events, PROJECT, [Alert(kind, "staff", 7, KINDS[kind])])
    (message,) = wait_until("the alert", lambda: sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"))
    headline, text, link = message["Body"].splitlines()
    assert headline.startswith(f'"{PROJECT}: {kind}, table staff, batch 7, 20')
    assert text == f'"{KINDS[kind]}"'
    assert link == f'"docs/runbook.md#alerts-of-the-jobs: {kind}"'


def test_an_address_that_is_given_is_subscribed(stack: DeployedStack, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in aws_environment(stack.aws.endpoint).items():
        monkeypatch.setenv(name, value)
    template = Template.read("alerts")
    assert deploy_stack(stack.session, "mail-alerts", template, {"Project": "mail", "AlertEmail": "people@example.com"}) == "created"
    assert prove_stack(stack.aws.client, "mail-alerts", template) == sum(not name.startswith("Slack") for name in template.resources)
    topic: Any = stack_outputs(stack.session, "mail-alerts")["AlertsTopic"]
    (subscription,) = stack.aws.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "people@example.com")


def test_a_topic_that_lets_no_rule_publish_fails_the_proof(stack: DeployedStack) -> None:
    sns, topic = stack.aws.client("sns"), stack_outputs(stack.session, f"{PROJECT}-alerts")["AlertsTopic"]
    policy = sns.get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"]
    sns.set_topic_attributes(
        TopicArn=topic, AttributeName="Policy", AttributeValue=policy.replace("events.amazonaws.com", "s3.amazonaws.com")
    )
    try:
        with pytest.raises(FatalError, match=f"topic {topic} lets no event rule publish"):
            prove_stack(stack.aws.client, f"{PROJECT}-alerts", Template.read("alerts"))
    finally:
        sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=policy)
