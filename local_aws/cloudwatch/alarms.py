"""CloudWatch's alarms: each looks at its own metric, period by period, and takes missing data as it says.

ministack's own look knows no dimensions, and leaves an alarm alone when no data has come. It looks when a metric is put; with
a schedule, the scheduler looks too.
"""

import time
from collections.abc import Callable

from ministack.services import cloudwatch, sqs

from local_aws.api import Record

_BREACHES: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanThreshold": lambda value, threshold: value > threshold,
    "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
    "LessThanThreshold": lambda value, threshold: value < threshold,
    "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
}
_MISSING = {"breaching": True, "notBreaching": False}


def evaluate(alarm: Record) -> None:
    """Bring an alarm into the state that its metric asks for; a change of it goes to its actions."""
    values = recent_values(alarm, points_of(alarm), time.time())
    found = [_MISSING.get(alarm["TreatMissingData"]) if value is None else _breaches(alarm, value) for value in values]
    if all(breaching is None for breaching in found):
        if alarm["TreatMissingData"] == "ignore":
            return
        state = "INSUFFICIENT_DATA"
    else:
        state = "ALARM" if found.count(True) >= alarm.get("DatapointsToAlarm", len(found)) else "OK"
    if state != alarm["StateValue"]:
        reason = f"The last values, newest first, are {values}; it must not be {alarm['ComparisonOperator']} {alarm['Threshold']}"
        cloudwatch._set_alarm_state({}, {"AlarmName": alarm["AlarmName"], "StateValue": state, "StateReason": reason}, True)


def points_of(alarm: Record) -> list[Record]:
    """The points of exactly the alarm's metric. SQS puts none here: of a queue's visible messages, what there is now."""
    dimensions = cloudwatch._dims_from_list(alarm["Dimensions"])
    if (alarm["Namespace"], alarm["MetricName"]) == ("AWS/SQS", "ApproximateNumberOfMessagesVisible"):
        queue = sqs._queues.get(sqs._queue_name_to_url.get(dimensions["QueueName"]))
        now = time.time()
        return [{"Timestamp": now, "Value": sum(message["visible_at"] <= now for message in queue["messages"])}] if queue else []
    points: list[Record] = cloudwatch._metrics.get((alarm["Namespace"], alarm["MetricName"], cloudwatch._dims_key(dimensions)), [])
    return points


def recent_values(alarm: Record, points: list[Record], now: float) -> list[float | None]:
    """The statistic of each period that the alarm looks at, newest first; None where there is no data."""
    statistic, period = alarm.get("ExtendedStatistic") or alarm["Statistic"], alarm["Period"]
    values = []
    for index in range(alarm["EvaluationPeriods"]):
        end = now - index * period
        inside = [point for point in points if end - period < point["Timestamp"] <= end]
        values.append(cloudwatch._stat_value(cloudwatch._calc_stats(inside), statistic, inside) if inside else None)
    return values


def _breaches(alarm: Record, value: float) -> bool:
    return _BREACHES[alarm["ComparisonOperator"]](value, alarm["Threshold"])
