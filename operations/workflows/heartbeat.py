"""The alarm no-heartbeat: muted while the schedule is paused, and unmuted by resume, which gives it its 20 minutes.

The alarm is muted until the first run, because a new alarm is in the state INSUFFICIENT_DATA, which is also its state for no data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from totesys.runtime.metrics import NAMESPACE

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_cloudwatch.type_defs import MetricDatumTypeDef


def heartbeat_alarm(project: str) -> str:
    """The alarm that rings when no run has brought the warehouse up to date for 20 minutes."""
    return f"{project}-no-heartbeat"


def mute_alarm(cloudwatch: CloudWatchClient, name: str) -> None:
    """Mute an alarm."""
    cloudwatch.disable_alarm_actions(AlarmNames=[name])


def unmute_heartbeat(cloudwatch: CloudWatchClient, project: str) -> None:
    """Unmute the alarm. It can ring after 20 minutes at the earliest: it needs periods without values, and this puts a value, 0."""
    metric: MetricDatumTypeDef = {
        "MetricName": "CaughtUp",
        "Dimensions": [{"Name": "Project", "Value": project}],
        "Value": 0,
        "Unit": "Count",
    }
    cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=[metric])
    cloudwatch.enable_alarm_actions(AlarmNames=[heartbeat_alarm(project)])
