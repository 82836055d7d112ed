"""CloudWatch's alarms. Each evaluates its own metric, period by period, and treats missing data as configured.

ministack's own evaluation ignores dimensions and missing data. Alarms are evaluated when a metric is put and, with `--schedule`, every
minute.
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
    """Set an alarm to the state that follows from its metric. A change triggers its actions."""
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
    """Return the points of the alarm's metric. For a queue's visible messages return their number now: SQS puts no metrics here."""
    dimensions = cloudwatch._dims_from_list(alarm["Dimensions"])
    if (alarm["Namespace"], alarm["MetricName"]) == ("AWS/SQS", "ApproximateNumberOfMessagesVisible"):
        queue = sqs._queues.get(sqs._queue_name_to_url.get(dimensions["QueueName"]))
        now = time.time()
        return [{"Timestamp": now, "Value": sum(message["visible_at"] <= now for message in queue["messages"])}] if queue else []
    points: list[Record] = cloudwatch._metrics.get((alarm["Namespace"], alarm["MetricName"], cloudwatch._dims_key(dimensions)), [])
    return points


def recent_values(alarm: Record, points: list[Record], now: float) -> list[float | None]:
    """Return the statistic of each period that the alarm evaluates, newest first. None stands for no data."""
    statistic, period = alarm.get("ExtendedStatistic") or alarm["Statistic"], alarm["Period"]
    values = []
    for index in range(alarm["EvaluationPeriods"]):
        end = now - index * period
        inside = [point for point in points if end - period < point["Timestamp"] <= end]
        values.append(cloudwatch._stat_value(cloudwatch._calc_stats(inside), statistic, inside) if inside else None)
    return values


def _breaches(alarm: Record, value: float) -> bool:
    return _BREACHES[alarm["ComparisonOperator"]](value, alarm["Threshold"])
