"""Alarms look at their own metric, period by period, and take missing data as they say."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from tests.support.local_aws.machine import LocalAws, wait_until


def raised(aws: LocalAws, name: str, minutes_ago: list[float], **settings: object) -> str:
    """The state of an alarm on values above 5, after values of 9 that many minutes ago."""
    cloudwatch = aws.client("cloudwatch")
    alarm = {"Statistic": "Maximum", "Period": 60, "EvaluationPeriods": 3, "Threshold": 5, "TreatMissingData": "notBreaching", **settings}
    cloudwatch.put_metric_alarm(
        AlarmName=name, Namespace="Test", MetricName=name, Dimensions=[{"Name": "Of", "Value": "us"}],
        ComparisonOperator="GreaterThanThreshold", **alarm,
    )  # fmt: skip
    put(aws, name, "us", minutes_ago)
    (found,) = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    return str(found["StateValue"])


def put(aws: LocalAws, metric: str, of: str, minutes_ago: list[float]) -> None:
    now, dimensions = datetime.now(timezone.utc), [{"Name": "Of", "Value": of}]
    data = [{"MetricName": metric, "Dimensions": dimensions, "Value": 9, "Timestamp": now - timedelta(minutes=ago)} for ago in minutes_ago]
    # Alarms look when a metric is put; of none at all, that is another one.
    data = data or [{"MetricName": "other", "Value": 1}]
    aws.client("cloudwatch").put_metric_data(Namespace="Test", MetricData=data)


@pytest.mark.parametrize(("name", "minutes_ago", "settings", "state"), [
    ("every-period", [0.5, 1.5, 2.5], {}, "ALARM"),
    ("one-period-of-three", [0.5], {}, "OK"),
    ("one-is-enough", [1.5], {"DatapointsToAlarm": 1}, "ALARM"),
    ("too-old", [3.5, 4.5, 5.5], {}, "OK"),
    ("silence-breaches", [], {"TreatMissingData": "breaching"}, "ALARM"),
    ("silence-is-well", [], {}, "OK"),
    ("silence-is-unknown", [], {"TreatMissingData": "missing"}, "INSUFFICIENT_DATA"),
])  # fmt: skip
def test_an_alarm_has_the_state_that_its_periods_ask_for(
    aws: LocalAws, name: str, minutes_ago: list[float], settings: dict[str, object], state: str
) -> None:
    assert raised(aws, name, minutes_ago, **settings) == state


def test_an_alarm_whose_data_ends_takes_that_as_it_says(aws: LocalAws) -> None:
    treatments = ("missing", "ignore", "breaching")
    before = {treated: raised(aws, f"ended-{treated}", [2.9], TreatMissingData=treated, Threshold=99) for treated in treatments}
    assert before == dict.fromkeys(treatments, "OK")

    def states() -> dict[str, str]:
        put(aws, "nothing", "us", [])  # every alarm looks now
        found = aws.client("cloudwatch").describe_alarms(AlarmNamePrefix="ended-")["MetricAlarms"]
        return {alarm["TreatMissingData"]: alarm["StateValue"] for alarm in found}

    # The values of all three are older than three periods when those of the one that was made last are.
    wait_until("the last alarm has no data", lambda: states()["breaching"] == "ALARM", 30)
    assert states() == {"missing": "INSUFFICIENT_DATA", "ignore": "OK", "breaching": "ALARM"}


def test_values_with_other_dimensions_are_another_metric(aws: LocalAws) -> None:
    put(aws, "dimensions", "others", [0.5, 1.5, 2.5])
    assert raised(aws, "dimensions", []) == "OK"
