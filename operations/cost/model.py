"""Sums in USD from prices, usage and a workload. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SHELL_DPU = 1 / 16
WORKER_DPU = {"G.1X": 1, "G.2X": 2}
_MB_IN_GB = 1024

Prices = Mapping[str, float]  # prices.toml without the sources
Usage = Mapping[str, Mapping[str, float]]  # usage.toml


@dataclass(frozen=True)
class Workload:
    """What runs in a month, or once. `spark_seconds`: how many Spark jobs run, by the seconds that each was measured at.

    share     of a month's standing costs: 1 for a month, 0 for what comes on top of one
    """

    ticks: float = 0
    publishes: float = 0
    spark_seconds: Mapping[float, float] = field(default_factory=dict)
    rebuilds: int = 0
    share: int = 1
    worker_type: str = "G.1X"
    people: int = 0


def month(usage: Usage, *, busy: bool, interval: int | None = None, worker_type: str = "G.1X") -> Workload:
    """Return a month of ticks. A busy month publishes in business hours, at most once per tick."""
    every = interval or usage["month"]["interval_minutes"]
    hourly = min(usage["month"]["publishes_per_business_hour"], 60 // every) if busy else 0
    publishes = usage["month"]["business_hours"] * hourly
    measured = usage["measured"]
    each = (measured["delta_run"] - measured["quiet_tick"]) / 2  # transform and load take about the same
    return Workload(
        ticks=usage["month"]["hours"] * 60 // every,
        publishes=publishes,
        spark_seconds={each: 2 * publishes} if busy else {},
        worker_type=worker_type,
        people=int(busy),
    )


def naive_idle_month(usage: Usage) -> Workload:
    """Return an idle month in which transform and load would start after every ingest, although nothing is new."""
    ticks = month(usage, busy=False).ticks
    return Workload(ticks=ticks, publishes=ticks, spark_seconds={0: 2 * ticks})


def rebuild(usage: Usage) -> Workload:
    """Return a rebuild of the lake and the warehouse. Its cost is added to that of its month."""
    measured = usage["measured"]
    seconds = {measured["first_transform"]: 1, measured["first_load"]: 1}
    return Workload(publishes=1, spark_seconds=seconds, rebuilds=1, share=0)


def costs(workload: Workload, prices: Prices, usage: Usage) -> dict[str, float]:
    """Return USD by item, without the cost of a VPC."""
    tick, publish, standing = usage["per_tick"], usage["per_publish"], usage["standing"]

    def used(what: str) -> float:
        return workload.ticks * tick[what] + workload.publishes * publish[what]

    writes = used("s3_writes") + workload.rebuilds * usage["rebuild"]["s3_writes"]
    reads = used("s3_reads") + workload.rebuilds * usage["rebuild"]["s3_reads"]
    month_of_metrics = (
        standing["metrics"] * prices["metric_month"]
        + standing["alarms"] * prices["alarm_month"]
        + standing["dashboards"] * prices["dashboard_month"]
    )
    month_of_secrets = standing["secrets"] * prices["secret_month"] + standing["kms_keys"] * prices["kms_key_month"]
    return {
        "Glue: ingest": workload.ticks * shell_run(prices, usage),
        "Glue: transform and load": sum(
            runs * spark_run(seconds, workload.worker_type, prices, usage) for seconds, runs in workload.spark_seconds.items()
        ),
        "S3: storage": workload.share * standing["s3_gb"] * prices["s3_gb_month"],
        "S3: requests": writes / 1000 * prices["s3_1000_writes"] + reads / 1000 * prices["s3_1000_reads"],
        "CloudWatch: metrics, alarms, dashboard": workload.share * month_of_metrics
        + used("metric_requests") / 1000 * prices["metric_1000_requests"],
        "CloudWatch: logs": used("log_mb") / _MB_IN_GB * prices["log_gb"],
        "Secrets Manager, KMS": workload.share * month_of_secrets + used("secret_calls") / 10_000 * prices["secret_10000_calls"],
        "EventBridge, SNS": workload.publishes * publish["events"] / 1e6 * prices["event_million"]
        + workload.share * standing["alerts"] / 1e6 * prices["sns_million"],
        "Athena": workload.people * usage["people"]["athena_tb"] * prices["athena_tb"],
    }


def shell_run(prices: Prices, usage: Usage) -> float:
    """Return USD of one run of ingest. With or without changes, it is shorter than the billed minimum."""
    return SHELL_DPU * _billed_hours(usage["measured"]["quiet_tick"] + usage["glue"]["shell_start"], prices) * prices["glue_dpu_hour"]


def spark_run(seconds: float, worker_type: str, prices: Prices, usage: Usage) -> float:
    """Return USD of one run of transform or load. `seconds` were measured without Glue's start-up."""
    dpus = usage["month"]["workers"] * WORKER_DPU[worker_type]
    return dpus * _billed_hours(seconds + usage["glue"]["spark_start"], prices) * prices["glue_dpu_hour"]


def nat_gateway(workload: Workload, prices: Prices, usage: Usage) -> float:
    """What one NAT gateway adds."""
    return workload.share * (usage["month"]["hours"] * prices["nat_hour"] + usage["network"]["gb"] * prices["nat_gb"])


def interface_endpoints(workload: Workload, prices: Prices, usage: Usage) -> float:
    """What an interface endpoint per service adds."""
    network, hours = usage["network"], usage["month"]["hours"]
    return workload.share * (network["interface_endpoints"] * hours * prices["endpoint_hour"] + network["gb"] * prices["endpoint_gb"])


def _billed_hours(seconds: float, prices: Prices) -> float:
    return max(seconds, prices["glue_minimum_seconds"]) / 3600
