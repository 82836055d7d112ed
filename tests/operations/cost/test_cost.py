"""The costs: sums by literal prices, and the README's table as the script prints it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from operations.cost.model import Workload, costs, interface_endpoints, month, naive_idle_month, nat_gateway, rebuild, shell_run, spark_run
from tests.support.commands import totesys

ROOT = Path(__file__).parents[3]
PRICES: dict[str, float] = {
    "glue_dpu_hour": 0.36, "glue_minimum_seconds": 60, "s3_gb_month": 0.02, "s3_1000_writes": 0.005, "s3_1000_reads": 0.0005,
    "metric_month": 0.3, "metric_1000_requests": 0.01, "alarm_month": 0.1, "dashboard_month": 3, "log_gb": 0.5, "secret_month": 0.4,
    "secret_10000_calls": 0.05, "kms_key_month": 1, "event_million": 1, "sns_million": 0.5, "athena_tb": 5, "endpoint_hour": 0.01,
    "endpoint_gb": 0.02, "nat_hour": 0.04, "nat_gb": 0.05,
}  # fmt: skip
USAGE: dict[str, Any] = {
    "measured": {"quiet_tick": 2, "delta_run": 62, "first_transform": 75, "first_load": 165},
    "glue": {"shell_start": 30, "spark_start": 45},
    "month": {"hours": 700, "interval_minutes": 5, "workers": 2, "business_hours": 200, "publishes_per_business_hour": 10},
    "per_tick": {"s3_writes": 10, "s3_reads": 100, "log_mb": 1, "secret_calls": 1, "metric_requests": 1},
    "per_publish": {"s3_writes": 100, "s3_reads": 1000, "log_mb": 8, "secret_calls": 2, "metric_requests": 2, "events": 1},
    "rebuild": {"s3_writes": 1900, "s3_reads": 7000},
    "standing": {"s3_gb": 50, "metrics": 10, "alarms": 5, "dashboards": 1, "secrets": 2, "kms_keys": 1, "alerts": 2_000_000},
    "people": {"athena_tb": 0.1},
    "network": {"interface_endpoints": 5, "gb": 10},
}


def test_a_shell_run_of_less_than_a_minute_is_billed_as_a_minute_of_a_sixteenth_dpu() -> None:
    assert shell_run(PRICES, USAGE) == pytest.approx(0.36 / 60 / 16)


@pytest.mark.parametrize(("seconds", "worker_type", "usd"), [
    (0, "G.1X", 0.012),  # a minute of 2 DPU at 0.006 a minute
    (75, "G.1X", 0.024),  # two minutes, of which Glue's start-up is 45 seconds
    (75, "G.2X", 0.048),
])  # fmt: skip
def test_a_spark_run_is_billed_by_the_second_from_a_minute_on_for_each_worker(seconds: float, worker_type: str, usd: float) -> None:
    assert spark_run(seconds, worker_type, PRICES, USAGE) == pytest.approx(usd)


def test_an_idle_month_pays_for_ticks_and_for_what_stands_and_for_no_spark() -> None:
    assert costs(month(USAGE, busy=False), PRICES, USAGE) == pytest.approx({
        "Glue: ingest": 8400 * 0.000375,
        "Glue: transform and load": 0,
        "S3: storage": 1.0,
        "S3: requests": 0.42 + 0.42,
        "CloudWatch: metrics, alarms, dashboard": 3 + 0.5 + 3 + 0.084,
        "CloudWatch: logs": 8400 / 1024 * 0.5,
        "Secrets Manager, KMS": 0.8 + 1 + 0.042,
        "EventBridge, SNS": 1.0,
        "Athena": 0,
    })  # fmt: skip


def test_a_busy_month_pays_for_two_spark_runs_a_publish_and_for_what_people_ask() -> None:
    idle, busy = (costs(month(USAGE, busy=busy), PRICES, USAGE) for busy in (False, True))
    added = {part: busy[part] - idle[part] for part in idle}
    assert added == pytest.approx({
        "Glue: ingest": 0,
        "Glue: transform and load": 4000 * 0.015,  # 30 seconds measured and 45 of start-up, 2 DPU
        "S3: storage": 0,
        "S3: requests": 1.0 + 1.0,
        "CloudWatch: metrics, alarms, dashboard": 0.04,
        "CloudWatch: logs": 2000 * 8 / 1024 * 0.5,
        "Secrets Manager, KMS": 0.02,
        "EventBridge, SNS": 0.002,
        "Athena": 0.5,
    })  # fmt: skip


def test_a_rebuild_pays_for_its_two_runs_and_requests_and_for_nothing_that_stands() -> None:
    found = costs(rebuild(USAGE), PRICES, USAGE)
    assert found["Glue: transform and load"] == pytest.approx(0.024 + 0.042)
    assert found["S3: requests"] == pytest.approx(0.010 + 0.004)
    assert (found["S3: storage"], nat_gateway(rebuild(USAGE), PRICES, USAGE), interface_endpoints(rebuild(USAGE), PRICES, USAGE)) == (
        0,
        0,
        0,
    )


def test_the_naive_chain_starts_two_spark_runs_at_every_tick() -> None:
    assert costs(naive_idle_month(USAGE), PRICES, USAGE)["Glue: transform and load"] == pytest.approx(8400 * 2 * 0.012)


@pytest.mark.parametrize(("interval", "ticks", "publishes"), [(5, 8400, 2000), (10, 4200, 1200), (15, 2800, 800)])
def test_a_longer_interval_has_fewer_ticks_and_no_more_publishes_than_ticks(interval: int, ticks: int, publishes: int) -> None:
    workload = month(USAGE, busy=True, interval=interval)
    assert (workload.ticks, workload.publishes) == (ticks, publishes)


def test_a_network_is_paid_by_the_hour_and_by_the_gigabyte() -> None:
    assert nat_gateway(Workload(), PRICES, USAGE) == pytest.approx(28 + 0.5)
    assert interface_endpoints(Workload(), PRICES, USAGE) == pytest.approx(5 * 7 + 0.2)


def lines_of(text: str) -> str:
    """A text without empty lines and blanks at the end of lines."""
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip())


def test_a_document_shows_what_the_command_prints() -> None:
    printed = subprocess.run([ROOT / "scripts" / "totesys", "cost"], capture_output=True, text=True, check=True).stdout
    documents = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    assert [document for document in documents if lines_of(printed) in lines_of(document.read_text("utf-8"))]


def test_json_has_the_same_totals(capsys: pytest.CaptureFixture[str]) -> None:
    answer = totesys(capsys, "cost", "--json").json
    idle = answer["workloads"]["idle month"]
    parts = [usd for what, usd in idle.items() if not what.startswith("in all")]
    assert idle["in all, without a VPC"] == pytest.approx(sum(parts))
    assert answer["levers"]["every 5 minutes, G.1X"]["idle month"] == pytest.approx(sum(parts))
