"""What rings, as data: it reaches people, says what to do, and looks at what the jobs put."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from totesys.runtime import metrics

from operations.workflows.heartbeat import heartbeat_alarm
from tests.support.cloudformation import resources

ROOT = Path(__file__).parents[2]
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text("utf-8")
SECTIONS = {title.lower().replace(" ", "-") for title in re.findall(r"^#+ (.+)$", RUNBOOK, re.MULTILINE)}
ALARMS = resources("alarms", "AWS::CloudWatch::Alarm")
RULES = resources("alerts", "AWS::Events::Rule")
TOPIC = {"Fn::ImportValue": {"Fn::Sub": "${Project}-alerts-AlertsTopic"}}
OF_AWS = {"AWS/SQS": {"ApproximateNumberOfMessagesVisible"}, "AWS/SNS": {"NumberOfNotificationsFailed"}}


def dimensions(name: str) -> list[set[str]]:
    """The dimensions under which the jobs put a metric."""
    counts = metrics.Counts()
    counts.values = {(name, "staff" if name == "Freshness" else None): 1.0}
    return [{dimension["Name"] for dimension in datum["Dimensions"]} for datum in counts.data("totesys", "load")]


@pytest.mark.parametrize("alarm", ALARMS.values(), ids=ALARMS)
def test_an_alarm_goes_to_people_and_links_to_a_section_of_the_runbook(alarm: dict[str, Any]) -> None:
    assert [alarm.get("AlarmActions"), alarm.get("InsufficientDataActions")] in ([[TOPIC], None], [None, [TOPIC]])
    assert alarm["AlarmName"]["Fn::Sub"].startswith("${Project}-")  # the topic's policy asks for it
    _, section = alarm["AlarmDescription"]["Fn::Sub"].split("${RunbookUrl}#")
    assert section in SECTIONS


@pytest.mark.parametrize("alarm", ALARMS.values(), ids=ALARMS)
def test_an_alarm_looks_at_a_metric_that_is_put(alarm: dict[str, Any]) -> None:
    if alarm["Namespace"] == metrics.NAMESPACE:
        assert {dimension["Name"] for dimension in alarm["Dimensions"]} in dimensions(alarm["MetricName"])
        assert alarm["MetricName"] in metrics._UNITS
    else:
        assert alarm["MetricName"] in OF_AWS[alarm["Namespace"]]


def test_silence_is_an_alarm_of_the_heartbeat_alone() -> None:
    heartbeat = ALARMS["NoHeartbeat"]
    others = [alarm for alarm in ALARMS.values() if alarm is not heartbeat]
    assert {alarm["TreatMissingData"] for alarm in others} == {"notBreaching"}
    assert not [alarm for alarm in others if "InsufficientDataActions" in alarm]
    # An alarm is created in that state, so silence before the first run changes nothing and is not told.
    assert (heartbeat["TreatMissingData"], heartbeat["InsufficientDataActions"]) == ("missing", [TOPIC])
    assert heartbeat["AlarmName"]["Fn::Sub"].replace("${Project}", "totesys") == heartbeat_alarm("totesys")
    assert heartbeat["Period"] * heartbeat["EvaluationPeriods"] == 20 * 60


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_rule_links_to_a_section_of_the_runbook_and_keeps_what_it_cannot_deliver(rule: dict[str, Any]) -> None:
    (target,) = rule["Targets"]
    (section,) = re.findall(r"\$\{RunbookUrl\}#([a-z-]+)", target["InputTransformer"]["InputTemplate"]["Fn::Sub"])
    assert section in SECTIONS
    assert target["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": ["UndeliveredQueue", "Arn"]}}


def test_the_ends_of_all_three_jobs_that_are_no_success_are_told() -> None:
    pattern = RULES["JobRule"]["EventPattern"]
    assert pattern["source"] == ["aws.glue"]
    assert [name["Fn::Sub"] for name in pattern["detail"]["jobName"]] == [f"${{Project}}-{job}" for job in ("ingest", "transform", "load")]
    assert pattern["detail"]["state"] == ["FAILED", "TIMEOUT", "STOPPED"]


def test_what_cannot_be_delivered_is_encrypted_and_comes_from_our_rules() -> None:
    (queue,) = resources("alerts", "AWS::SQS::Queue").values()
    assert queue["SqsManagedSseEnabled"] is True
    (policy,) = resources("alerts", "AWS::SQS::QueuePolicy").values()
    fill, refuse = policy["PolicyDocument"]["Statement"]
    assert fill["Condition"] == {"ArnEquals": {"aws:SourceArn": [{"Fn::GetAtt": [rule, "Arn"]} for rule in RULES]}}
    assert (refuse["Effect"], refuse["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})


def test_what_posts_to_slack_reads_one_secret_and_writes_its_own_log() -> None:
    role = resources("alerts", "AWS::IAM::Role")["SlackRole"]
    read, write = role["Policies"][0]["PolicyDocument"]["Statement"]
    assert (read["Action"], read["Resource"]["Fn::Sub"].rpartition(":")[2]) == ("secretsmanager:GetSecretValue", "${SlackSecret}-??????")
    assert write["Resource"] == {"Fn::GetAtt": ["SlackLogs", "Arn"]}


def test_the_dashboard_asks_in_the_order_of_a_night_and_shows_every_alarm() -> None:
    (dashboard,) = resources("dashboard", "AWS::CloudWatch::Dashboard").values()
    body = dashboard["DashboardBody"]["Fn::Sub"][0]
    widgets = json.loads(re.sub(r"\$\{\w+\}", "1", body))["widgets"]
    asked = [widget["properties"]["markdown"] for widget in widgets if widget["type"] == "text"]
    assert asked == [
        "## Is it fresh?", "## Did something fail?", "## Is something held or kept out?", "## Is it getting slower?",
        "## What does it cost?",
    ]  # fmt: skip
    names = [alarm["AlarmName"]["Fn::Sub"].removeprefix("${Project}") for alarm in ALARMS.values()]
    assert re.findall(r"\$\{Alarm\}(-[a-z-]+)", body) == names
    shown = {metric[1] for widget in widgets for metric in widget["properties"].get("metrics", []) if len(metric) > 1}
    assert shown <= set(metrics._UNITS)


def test_every_alarm_and_rule_is_in_the_table_of_the_runbook() -> None:
    table = RUNBOOK.partition("| alarm or rule |")[2].partition("\n\n")[0]
    for alarm in ALARMS.values():
        assert f"`{alarm['AlarmName']['Fn::Sub'].removeprefix('${Project}-')}`" in table
    for rule in RULES.values():
        assert f"`{rule['Name']['Fn::Sub'].replace('${Project}', '<project>')}`" in table
