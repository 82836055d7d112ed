"""What the report asks AWS for: a deployed stack after a real ingest run, and then with more batches than it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from totesys.contracts import load_contracts
from totesys.lake.manifests import NO_PUBLISH, BatchManifest, Held, PartitionState, PublishManifest, SourceIdentity, TableCapture, commit
from totesys.lake.store import Bucket

from local_aws.environment import aws_environment
from operations.aws import aws_session
from operations.cli.report import report as command
from operations.deployment.deployment import Deployment
from operations.reconcile.comparison import put_differences
from operations.report.gather import BATCHES, Requests, gather, workflow
from operations.report.model import Report
from operations.status.gather import PUBLISHES, loaded_as_aws_shows
from tests.conftest import Database
from tests.operations.report.conftest import NOW, run
from tests.support.local_aws.machine import wait_until
from tests.support.stack import DeployedStack, local_stack

PROJECT = "report-test"
LANDED = BATCHES + 30
WHY = Held("drift", "staff: a column is new", "change it back", "2026-03-02T07:10:00+00:00", 1, 2, 1, 1)
# Stacks (and that of the jobs once more), the names of the alarms, alarms, metrics, workflows, runs of jobs, lists of both buckets.
FIXED_REQUESTS = 9 + 1 + 1 + 1 + 1 + 2 + 3 + 2 + 1


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory, two_databases: Callable[[], tuple[Database, Database]]) -> Iterator[DeployedStack]:
    """A deployed stack whose ingest has run once, and has found no row."""
    with local_stack(tmp_path_factory.mktemp("report"), *two_databases(), project=PROJECT) as stack:
        assert stack.first_run.returncode == 0, stack.first_run.stderr
        glue, name = stack.aws.glue, f"{PROJECT}-ingest"
        run_id = glue.start_workflow_run(Name=name)["RunId"]
        wait_until("ingest ends", lambda: glue.get_workflow_run(Name=name, RunId=run_id)["Run"]["Status"] == "COMPLETED")
        yield stack


@pytest.fixture
def environment(deployed: DeployedStack, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**aws_environment(deployed.aws.endpoint), "TOTESYS_PROJECT": PROJECT}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def ask(deployed: DeployedStack, environment: None) -> Callable[[], Report]:
    def gathered() -> Report:
        session = aws_session()
        requests = Requests(session)
        return gather(session, Deployment.read(session), requests, datetime.now(timezone.utc))

    return gathered


@pytest.fixture
def many_batches(deployed: DeployedStack) -> Iterator[None]:
    """More batches with rows than the report reads, the last of which holds a table; one publish; a metric of its load."""
    buckets = [Bucket(deployed.aws.s3, name) for name in (deployed.deployment.ingestion_bucket, deployed.deployment.processed_bucket)]
    before = {bucket.name: {key for key, _ in bucket.objects("_manifests/")} for bucket in buckets}
    now = datetime.now(timezone.utc)
    for seq in range(2, LANDED + 2):
        commit(buckets[0], batch(seq, now - timedelta(minutes=LANDED + 2 - seq), {"staff": WHY} if seq == LANDED + 1 else {}))
    state = PartitionState("a/", 1, 12, 40, deleted=2)
    publish = replace(NO_PUBLISH, seq=1, published_at=now.isoformat(), through_batch_seq=40, mirror={"staff": {"0": state, "1": state}})
    commit(buckets[1], publish)
    deployed.aws.client("cloudwatch").put_metric_data(
        Namespace="Totesys",
        MetricData=[
            {
                "MetricName": name,
                "Dimensions": [{"Name": "Project", "Value": PROJECT}],
                "Value": value,
                "Timestamp": now - timedelta(minutes=9),
            }
            for name, value in (("Freshness", 411.0), ("WaitingRows", 3.0))
        ],
    )
    yield
    for bucket in buckets:
        bucket.delete([key for key, _ in bucket.objects("_manifests/") if key not in before[bucket.name]])


def batch(seq: int, at: datetime, held: Mapping[str, Held]) -> BatchManifest:
    """A batch with three orders; what it says of staff is of an earlier batch where staff is held."""
    orders = TableCapture("delta", 1, 1, 1, "", None, "", 3, 3, "", None)
    tables = {"sales_order": orders, "staff": replace(orders, mode="full", rows=20)}
    previous = seq - 1 if seq > 2 else 0
    return BatchManifest(
        seq, f"{seq:010d}-a", "", "", at.isoformat(), SourceIdentity("", 1, 1), seq, previous, tables, held=dict(held)
    )  # fmt: skip


def test_the_last_comparison_is_the_one_that_reconcile_put_last(ask: Callable[[], Report], deployed: DeployedStack) -> None:
    assert ask().compared is None
    cloudwatch = deployed.aws.client("cloudwatch")
    put_differences(cloudwatch, PROJECT, 4)
    compared = ask().compared
    assert compared is not None and compared.value == 4
    assert datetime.now(timezone.utc) - compared.at < timedelta(minutes=2)


def write_page(*options: str) -> Result:
    return CliRunner().invoke(command, options)


def test_after_an_ingest_that_found_no_row(ask: Callable[[], Report]) -> None:
    found = ask()
    ingest, publish = found.workflows
    assert [[node.name for node in step] for step in ingest.steps] == [[f"{PROJECT}-ingest-start"], [f"{PROJECT}-ingest"]]
    assert [node.kind for node in publish.nodes] == ["trigger", "job", "trigger", "job"]
    start, job = ingest.nodes
    assert (start.state, job.state, start.at) == ("activated", "succeeded", job.at)
    assert [node.state for node in publish.nodes] == ["on event", "never ran", "activated", "never ran"]
    assert found.read_at is not None
    assert (found.landed, found.loaded, found.batches, found.held, found.dead, found.failed) == (0, 0, (), {}, (), ())
    assert [run.state for run in found.runs["ingest"]] == ["SUCCEEDED"]
    known = load_contracts()
    assert {one.table: one.version for one in found.contracts} == {
        table: contract.version for table, contract in {**known.source, **known.warehouse}.items()
    }
    assert all(one.is_first and one.since and not one.problem for one in found.contracts)


def test_of_many_batches_the_last_two_hundred_are_read(ask: Callable[[], Report], many_batches: None) -> None:
    found = ask()
    assert [one.seq for one in found.batches] == list(range(LANDED + 1, LANDED + 1 - BATCHES, -1))
    assert (found.batches[0].rows, found.batches[0].held, found.batches[0].full) == ({"sales_order": 3}, ("staff",), ())
    assert (found.batches[1].rows, found.batches[1].held, found.batches[1].full) == ({"sales_order": 3, "staff": 20}, (), ("staff",))
    assert {one.stage for one in found.batches if one.seq <= 40} == {"published"}
    assert {one.stage for one in found.batches if one.seq > 40} == {"landed"}
    assert found.held == {"staff": WHY}
    assert len(found.pending) == BATCHES
    assert [point.value for point in found.freshness] == [411.0]
    assert found.parents == 3
    assert {one.table: one.rows for one in found.contracts if one.rows is not None} == {"staff": 20}
    assert found.asked.manifests == BATCHES + 1
    assert found.asked.requests == FIXED_REQUESTS + len(found.contracts) + found.asked.manifests


def test_the_command_writes_the_page(environment: None, many_batches: None, tmp_path: Path) -> None:
    output = tmp_path / "page.html"
    ended = write_page("--output", str(output))
    assert (ended.exit_code, ended.output) == (0, f"written to {output}\n")
    text = output.read_text("utf-8")
    assert f"<h1>{PROJECT}</h1>" in text
    assert f"{BATCHES} batches or more" in text
    assert WHY.reason in text


def test_a_folder_that_is_not_there_is_a_failure(environment: None, tmp_path: Path) -> None:
    ended = write_page("--output", str(tmp_path / "none" / "page.html"))
    assert ended.exit_code == 1
    assert "No such file or directory" in ended.output


def test_a_project_that_is_not_deployed_cannot_be_reported(environment: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TOTESYS_PROJECT", "elsewhere")
    ended = write_page("--output", str(tmp_path / "page.html"))
    assert ended.exit_code == 2
    assert "is not deployed" in ended.output
    assert list(tmp_path.iterdir()) == []


def publish(seq: int, minutes_ago: int) -> PublishManifest:
    """A publish that brought in the batch of its number."""
    at = (NOW - timedelta(minutes=minutes_ago)).isoformat()
    return replace(NO_PUBLISH, seq=seq, previous_seq=seq - 1, published_at=at, through_batch_seq=seq)


@pytest.mark.parametrize(
    ("loads", "loaded"),
    [
        ([], 0),
        ([run("load", 1)], 3),
        ([run("load", 1, state="FAILED"), run("load", 7)], 2),
        ([run("load", 1, state="FAILED"), run("load", 30)], 0),
        ([run("load", 1, state="FAILED")], None),
    ],
    ids=["never ran", "newest", "last one failed", "before the first publish", "none succeeded"],
)
def test_what_is_loaded_follows_from_the_last_successful_load(loads: list[Any], loaded: int | None) -> None:
    publishes = [publish(3, 2), publish(2, 8), publish(1, 14)]
    assert loaded_as_aws_shows(iter(publishes), loads) == loaded


def test_a_load_that_succeeded_long_ago_is_not_searched_for_without_end() -> None:
    read = []

    def publishes() -> Iterator[PublishManifest]:
        for seq in range(5000, 0, -1):
            read.append(seq)
            yield publish(seq, 5000 - seq)

    assert loaded_as_aws_shows(publishes(), [run("load", 4000)]) is None
    assert len(read) == PUBLISHES


class Graph:
    """A client for Glue that knows one workflow: a start, two jobs side by side, and a third one after both."""

    def get_workflow(self, Name: str, IncludeGraph: bool) -> dict[str, Any]:
        jobs = [{"Type": "JOB", "Name": name, "UniqueId": name, "JobDetails": {}} for name in ("b", "a", "c")]
        triggers = [
            {"Type": "TRIGGER", "Name": name, "UniqueId": name, "TriggerDetails": {"Trigger": trigger}}
            for name, trigger in (
                ("start", {"Type": "SCHEDULED", "State": "DEACTIVATED", "Schedule": "cron(0 * * * ? *)"}),
                ("both", {"Type": "CONDITIONAL", "State": "ACTIVATED", "Predicate": {"Conditions": [
                    {"JobName": "a", "State": "SUCCEEDED"}, {"JobName": "b", "State": "SUCCEEDED"},
                ]}}),
            )
        ]  # fmt: skip
        edges = [("start", "a"), ("start", "b"), ("a", "both"), ("b", "both"), ("both", "c")]
        return {"Workflow": {"Name": Name, "Graph": {
            "Nodes": [*jobs, *triggers], "Edges": [{"SourceId": one, "DestinationId": other} for one, other in edges],
        }}}  # fmt: skip


def test_nodes_that_start_together_are_one_step() -> None:
    runs = {"x": [replace(run("", minutes), job="a") for minutes in (5, 10)], "y": [replace(run("", 4, 2, "FAILED", "why"), job="b")]}
    shown = workflow(Graph(), "w", runs)
    assert [[node.name for node in step] for step in shown.steps] == [["start"], ["a", "b"], ["both"], ["c"]]
    start, a, b, both, c = shown.nodes
    assert (start.state, start.is_bad, start.at, start.note) == ("deactivated", True, NOW - timedelta(minutes=4), "cron(0 * * * ? *)")
    assert (a.state, a.at, b.state, b.is_bad, b.note) == ("succeeded", NOW - timedelta(minutes=5), "failed", True, "why")
    assert (both.note, both.at, c.state) == ("a succeeded and b succeeded", None, "never ran")
