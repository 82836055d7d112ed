"""What a job counts while it logs, and how it reaches CloudWatch."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from typing import Any

import pytest
from moto import mock_aws
from totesys.runtime import metrics
from totesys.runtime.entry import run_job
from totesys.runtime.logs import log_fields

from tests.ingest.designs import insert, transaction

log = logging.getLogger("totesys.test")


@pytest.fixture
def cloudwatch(client: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with mock_aws():
        monkeypatch.setattr(metrics.boto3, "client", client)
        yield client("cloudwatch")


def found(cloudwatch: Any) -> dict[tuple[str, ...], float]:
    """The metrics that are there: name and values of the dimensions -> sum."""
    values = {}
    for metric in cloudwatch.list_metrics(Namespace="Totesys")["Metrics"]:
        key = (metric["MetricName"], *sorted(dimension["Value"] for dimension in metric["Dimensions"]))
        data = cloudwatch.get_metric_data(
            StartTime="2020-01-01", EndTime="2100-01-01",
            MetricDataQueries=[{"Id": "m", "MetricStat": {"Metric": metric, "Period": 86400, "Stat": "Sum"}}],
        )  # fmt: skip
        values[key] = sum(data["MetricDataResults"][0]["Values"])
    return values


def test_what_a_job_logs_is_counted_and_put_when_it_ends(cloudwatch: Any) -> None:
    def main(argv: Sequence[str]) -> None:
        for table, seconds in (("payment", 400.0), ("design", 100.0)):
            log.info("fresh", extra=log_fields("table merged", {"Freshness": seconds}, table=table))
        for rows in (3, 4):
            log.info("in", extra=log_fields("load committed", {"RowsWritten": rows}))
        log.info("no metric", extra=log_fields("nothing new", {"CaughtUp": 1, "WaitingRows": 0}))

    run_job("load", main, ["--project", "p"])
    values = found(cloudwatch)
    assert 0 <= values.pop(("StageSeconds", "load", "p")) < 5
    assert values == {
        ("Freshness", "p", "payment"): 400, ("Freshness", "design", "p"): 100, ("Freshness", "p"): 400,
        ("RowsWritten", "load", "p"): 7, ("CaughtUp", "p"): 1, ("WaitingRows", "p"): 0, ("Slowdown", "load", "p"): 0,
    }  # fmt: skip


@pytest.mark.parametrize("answers", [False, True], ids=["no connection", "no answer"])
def test_a_job_that_cannot_reach_cloudwatch_ends_within_seconds(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, answers: bool
) -> None:
    """A subnet without an endpoint for `monitoring` drops every packet: nothing is refused."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=0)) as server, ExitStack() as connections:
        if not answers:  # a full queue of connections: the next one waits for ever
            for _ in range(3):
                waiting = connections.enter_context(closing(socket.socket()))
                waiting.setblocking(False)
                waiting.connect_ex(server.getsockname())
        monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH", f"http://127.0.0.1:{server.getsockname()[1]}")
        for name, value in {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "eu-west-2"}.items():
            monkeypatch.setenv(name, value)
        started = time.monotonic()
        metrics.put("p", "ingest", metrics.Counts(), seconds=600)  # such a long run asks for yesterday's first
        assert time.monotonic() - started < 10
    assert "this run's metrics are lost" in caplog.text


def test_a_job_that_fails_puts_nothing(cloudwatch: Any) -> None:
    def main(argv: Sequence[str]) -> None:
        log.info("caught up", extra=log_fields("nothing new", {"CaughtUp": 1}))
        raise KeyError("design")

    with pytest.raises(SystemExit):
        run_job("load", main, ["--project", "p"])
    assert found(cloudwatch) == {}


def test_metrics_that_cannot_be_put_fail_no_job(client: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(metrics.boto3, "client", lambda name, config: metrics.boto3.Session("a", "b", region_name="eu-west-2").client(name))
    run_job("load", lambda argv: None, ["--project", "p"])
    assert "this run's metrics are lost" in json.loads(capsys.readouterr().out.splitlines()[-1])["message"]


def test_a_batch_says_how_much_it_read_and_kept_out(ingest: Any, caplog: pytest.LogCaptureFixture) -> None:
    ingest.only("design").execute(insert(1, 2, 3))
    with caplog.at_level(logging.INFO):
        batch = ingest.tick()
    (counted,) = [record.metrics for record in caplog.records if getattr(record, "event", "") == "batch committed"]
    assert counted.pop("BytesWritten") == sum(landed.bytes for landed in batch.tables["design"].files) > 0
    assert counted == {
        "RowsRead": 3, "RowsWritten": 3, "RowsKeptOut": 0, "HeldTables": 0, "DeadLetters": 0, "OldestTransactionSeconds": 0,
    }  # fmt: skip  # not caught up: the batch is pending


def test_a_batch_says_for_how_long_the_oldest_transaction_has_been_the_same(ingest: Any) -> None:
    with transaction(ingest.source) as cursor:
        cursor.execute(insert(1))
        first = ingest.only("design").tick()
        ingest.execute(insert(2))
        second = ingest.tick()
        assert (first.oldest_transaction_since, second.oldest_transaction_since) == (first.snapshot_at, first.snapshot_at)
    last = ingest.tick()
    assert last.oldest_transaction_since == last.snapshot_at
