"""The alarm that tells of silence: ignored while the schedule is paused, and given its time again when it goes on.

It is silent until the first run: its state for silence, INSUFFICIENT_DATA, is also the one in which it is created.
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


def ignore_alarm(cloudwatch: CloudWatchClient, name: str) -> None:
    """Lets an alarm tell nobody."""
    cloudwatch.disable_alarm_actions(AlarmNames=[name])


def heed_heartbeat(cloudwatch: CloudWatchClient, project: str) -> None:
    """Lets the alarm tell people again, in 20 minutes at the earliest: it counts values, and a 0 says that nothing is caught up yet."""
    metric: MetricDatumTypeDef = {
        "MetricName": "CaughtUp",
        "Dimensions": [{"Name": "Project", "Value": project}],
        "Value": 0,
        "Unit": "Count",
    }
    cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=[metric])
    cloudwatch.enable_alarm_actions(AlarmNames=[heartbeat_alarm(project)])
