"""Count the jobs' metrics from their log records, and put them into CloudWatch once, when the job ends.

The namespace is Totesys. Every metric has the dimension Project.
    CaughtUp                   1 when no batch is pending: the heartbeat
    Freshness                  seconds from a table's previous snapshot to the commit that loaded the changes after it: an upper bound for
                               the age of every change; with the dimension Table, and without it as the worst of all tables
    RowsRead, RowsWritten, RowsKeptOut, BytesWritten   with the dimension Job
    StageSeconds               how long the job took, with Job
    Slowdown                   StageSeconds divided by its median of the last day, with Job; 0 for a run of less than a minute
    HeldTables, DeadLetters, WaitingRows                current state
    Differences                what `totesys reconcile` found in a comparison; no job puts it
    OldestTransactionSeconds   for how long the source's oldest transaction has been the same
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from totesys.errors import PipelineError
from totesys.errors.aws import aws_call

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_cloudwatch.literals import StandardUnitType
    from mypy_boto3_cloudwatch.type_defs import DimensionTypeDef, MetricDatumTypeDef

NAMESPACE = "Totesys"
_UNITS: dict[str, StandardUnitType] = {
    "CaughtUp": "Count",
    "Freshness": "Seconds",
    "RowsRead": "Count",
    "RowsWritten": "Count",
    "RowsKeptOut": "Count",
    "BytesWritten": "Bytes",
    "StageSeconds": "Seconds",
    "Slowdown": "None",
    "HeldTables": "Count",
    "DeadLetters": "Count",
    "WaitingRows": "Count",
    "OldestTransactionSeconds": "Seconds",
}
_OF_JOB = {"RowsRead", "RowsWritten", "RowsKeptOut", "BytesWritten", "StageSeconds", "Slowdown"}
_SUMMED = _OF_JOB
_SHORT = 60.0  # seconds; a shorter run is mostly start-up, and needs no alarm if it takes twice as long

# By default, a job that cannot reach CloudWatch would retry for minutes before it ends.
_IMPATIENT = Config(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 1})

log = logging.getLogger(__name__)


class Counts(logging.Handler):
    """Collects the metrics of a job's log records, by name and table: sums, or the largest value for metrics of a state."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[tuple[str, str | None], float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        for name, value in getattr(record, "metrics", {}).items():
            table = record.__dict__.get("table") if name == "Freshness" else None
            before = self.values.get((name, table))
            if before is not None:
                value = before + value if name in _SUMMED else max(before, value)
            self.values[name, table] = value

    def data(self, project: str, job: str) -> list[MetricDatumTypeDef]:
        """Return the metrics as PutMetricData takes them."""
        values = dict(self.values)
        freshness = [value for (name, _), value in values.items() if name == "Freshness"]
        if freshness:
            values["Freshness", None] = max(freshness)
        return [_datum(name, value, project, job, table) for (name, table), value in values.items()]


def put(project: str, job: str, counts: Counts, seconds: float) -> None:
    """Put the metrics into CloudWatch. A failure is only logged: the work is done, and the alarms treat missing metrics as a failure."""
    try:
        with aws_call("putting metrics into CloudWatch"):
            cloudwatch = boto3.client("cloudwatch", config=_IMPATIENT)
            counts.values["StageSeconds", None] = seconds
            counts.values["Slowdown", None] = _slowdown(cloudwatch, project, job, seconds)
            cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=counts.data(project, job))
    except PipelineError as error:
        log.warning("this run's metrics are lost: %s", error)


def _slowdown(cloudwatch: CloudWatchClient, project: str, job: str, seconds: float) -> float:
    if seconds < _SHORT:
        return 0.0
    now = datetime.now(timezone.utc)
    found = cloudwatch.get_metric_statistics(
        Namespace=NAMESPACE, MetricName="StageSeconds", Dimensions=_dimensions("StageSeconds", project, job, None),
        StartTime=now - timedelta(days=1), EndTime=now, Period=86400, ExtendedStatistics=["p50"],
    )["Datapoints"]  # fmt: skip
    median = max((point["ExtendedStatistics"]["p50"] for point in found), default=0.0)
    return seconds / median if median else 0.0


def _datum(name: str, value: float, project: str, job: str, table: str | None) -> MetricDatumTypeDef:
    return {"MetricName": name, "Dimensions": _dimensions(name, project, job, table), "Value": value, "Unit": _UNITS[name]}


def _dimensions(name: str, project: str, job: str, table: str | None) -> list[DimensionTypeDef]:
    parts = {"Project": project, "Job": job if name in _OF_JOB else None, "Table": table}
    return [{"Name": part, "Value": text} for part, text in parts.items() if text]
