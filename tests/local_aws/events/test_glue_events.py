"""Input transformers are as strict as EventBridge's: no value is escaped, and what is no JSON is not delivered."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.local_aws.machine import LocalAws, wait_until

PATHS = {"text": "$.detail.text", "detail": "$.detail"}


class Rule:
    """A rule with one target, a queue, and another queue for what it cannot deliver."""

    def __init__(self, aws: LocalAws) -> None:
        self._aws = aws
        self._urls = {name: aws.queue(name, "events.amazonaws.com") for name in ("delivered", "undelivered")}
        aws.client("events").put_rule(Name="strict", EventPattern=json.dumps({"source": ["a.test"]}))

    def deliver(self, template: str, text: str) -> None:
        """Put one event with this text."""
        arns = {name: f"arn:aws:sqs:eu-west-2:000000000000:{name}" for name in self._urls}
        target = {"Id": "queue", "Arn": arns["delivered"], "DeadLetterConfig": {"Arn": arns["undelivered"]}}
        transformer = {"InputPathsMap": PATHS, "InputTemplate": template}
        events = self._aws.client("events")
        assert events.put_targets(Rule="strict", Targets=[{**target, "InputTransformer": transformer}])["FailedEntryCount"] == 0
        events.put_events(Entries=[{"Source": "a.test", "DetailType": "test", "Detail": json.dumps({"text": text})}])

    def received(self, queue: str) -> str:
        """The next message of a queue, which is then deleted."""
        sqs, url = self._aws.client("sqs"), self._urls[queue]
        (message,) = wait_until(f"a message in {queue}", lambda: sqs.receive_message(QueueUrl=url).get("Messages"), 20)
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return str(message["Body"])

    def delete(self) -> None:
        """Delete the rule and both queues."""
        events, sqs = self._aws.client("events"), self._aws.client("sqs")
        events.remove_targets(Rule="strict", Ids=["queue"])
        events.delete_rule(Name="strict")
        for url in self._urls.values():
            sqs.delete_queue(QueueUrl=url)


@pytest.fixture
def rule(aws: LocalAws) -> Iterator[Rule]:
    made = Rule(aws)
    yield made
    made.delete()


@pytest.mark.parametrize(("template", "text", "message"), [
    ('"it says:"\n"<text>"', "well", '"it says:"\n"well"'),
    ('{"says": <text>}', "well", '{"says": "well"}'),
    ("it says: <text>", 'a "word"', 'it says: a "word"'),
    ('{"says": <detail>}', 'a "word", C:\\data', '{"says": {"text": "a \\"word\\", C:\\\\data"}}'),
])  # fmt: skip
def test_what_is_json_is_delivered_and_so_is_text_without_quotes(rule: Rule, template: str, text: str, message: str) -> None:
    rule.deliver(template, text)
    assert rule.received("delivered") == message


@pytest.mark.parametrize("text", ['a "word"', "C:\\data", "two\nlines"])
@pytest.mark.parametrize("template", ['"it says:"\n"<text>"', '{"says": "<text>"}', '{"says": <text>}'])
def test_a_value_that_breaks_the_json_around_it_is_not_delivered(rule: Rule, template: str, text: str) -> None:
    rule.deliver(template, text)
    event: dict[str, Any] = json.loads(rule.received("undelivered"))
    assert (event["source"], event["detail"]) == ("a.test", {"text": text})
