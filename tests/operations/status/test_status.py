"""What the status says, and of what it says that a person is needed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, replace
from datetime import datetime, timedelta, timezone
from typing import Any

import boto3
import pytest
from moto import mock_aws
from totesys.contracts import load_contracts
from totesys.lake.manifests import NO_PUBLISH, Held, commit, newest_batch, read_batch
from totesys.lake.store import Bucket
from totesys.warehouse.server import prepare_warehouse, warehouse_engine

from local_totesys.postgres import free_port
from operations.cli.console import make_console
from operations.cli.status import show
from operations.lake import publishes
from operations.status.attention import of_status
from operations.status.gather import (
    MOST,
    Batch,
    Job,
    NotAsked,
    PipelineJobs,
    Status,
    WarehouseStatus,
    alarms,
    ask_warehouse,
    fresh_to,
    last_batches,
    last_runs,
    loaded_as_aws_shows,
    moment,
    read_warehouse,
    stage,
)
from operations.values import age
from operations.workflows.display import JobState
from tests.conftest import Database
from tests.support.commands import totesys
from tests.support.glue import DEPLOYMENT, SNAPSHOT_AT, FakeLake, Pages

NOW = datetime(2026, 3, 2, 8, 10, tzinfo=timezone.utc)
READ = datetime.fromisoformat(SNAPSHOT_AT)
WELL = Status(
    version="v1.2.0-3-g0a1b2c3", deployed_at=NOW - timedelta(days=3),
    triggers={"p-ingest-start": "ACTIVATED", "p-publish-start": "ON EVENT", "p-publish-load": "ACTIVATED"},
    jobs=PipelineJobs(Job("p-ingest"), Job("p-transform"), Job("p-load")), read_at=READ, landed=7, published=7,
    warehouse=WarehouseStatus(7, compared_at=NOW - timedelta(hours=1)), loaded=7, batches=[Batch(7, READ, 1234, "loaded")], pending=[],
    fresh_to=READ, held={}, dead={}, alarms=[],
)  # fmt: skip
FAILED = JobState("jr_1", "p-publish", "p-load", "FAILED", NOW - timedelta(minutes=3), NOW, "FatalError: the password is wrong")
SUCCEEDED = replace(FAILED, state="SUCCEEDED", error="")
HICCUP = replace(FAILED, error="Error Category: UNCLASSIFIED_ERROR; SystemExit: RetriableError: the lake cannot be read")
RUNNING = replace(SUCCEEDED, state="RUNNING", completed_at=None)
HELD = Held("deletes", "staff: 12 of 20 rows are gone", "say scripts/totesys run --accept-deletes staff", SNAPSHOT_AT, 1, 20, 1, 1)


def ran(job: str, *runs: JobState, **changes: Any) -> Status:
    """All is well, but for a job's last runs, the newest first."""
    return replace(WELL, jobs=replace(WELL.jobs, **{job: Job(f"p-{job}", runs)}), **changes)


def pending_for(minutes: int, *, published: int = 6, loaded: int = 6) -> dict[str, Any]:
    """Batch 7 has landed so long ago, and is not in the warehouse."""
    pending = Batch(7, NOW - timedelta(minutes=minutes), 3, stage(7, published, loaded))
    return {"published": published, "loaded": loaded, "warehouse": WarehouseStatus(loaded), "pending": [pending], "batches": [pending]}


def said_of(status: Status) -> list[str]:
    """What needs a person."""
    return [problem.text for problem in of_status(status, "p", NOW)]


def test_nobody_is_needed_when_all_is_well() -> None:
    assert said_of(WELL) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"triggers": {"p-ingest-start": "DEACTIVATED"}}, "the schedule is paused: scripts/totesys resume restarts the schedule"),
        ({"triggers": {"p-publish-load": "DEACTIVATED"}}, "trigger p-publish-load is DEACTIVATED: scripts/deploy.sh activates it"),
        ({"loaded": 0, "fresh_to": None}, "nothing has been loaded yet: scripts/totesys run"),
        ({"fresh_to": NOW - timedelta(minutes=31)}, "the warehouse is 31 minutes old: scripts/totesys run shows what fails"),
        (
            {"warehouse": WarehouseStatus(7, compared_at=NOW - timedelta(minutes=20), differences=3)},
            "the last comparison found 3 differences, 20 minutes ago: scripts/totesys reconcile lists them",
        ),
        (
            {"loaded": 9, "warehouse": WarehouseStatus(9)},
            "the warehouse holds batch 9, but the newest with rows in the ingestion bucket is batch 7: either its secret names the"
            " warehouse of another lake, or the bucket has lost batches",
        ),
        ({"held": {"staff": HELD}}, f"staff is held since {SNAPSHOT_AT}: {HELD.reason}. Nothing of it is lost. What to do: {HELD.cure}"),
        (
            {"dead": {"design": 1}},
            "design has 1 row in the dead letter: correct them at the source: scripts/totesys deadletters show design",
        ),
        ({"alarms": ["p-late"]}, "alarm p-late rings"),
    ],
    ids=["paused", "trigger", "never loaded", "late", "differences", "another lake", "held", "dead letter", "alarm"],
)
def test_a_person_is_told_what_is_not_as_it_should_be(changes: dict[str, Any], said: str) -> None:
    assert said_of(replace(WELL, **changes)) == [said]


@pytest.mark.parametrize(
    ("job", "runs", "said"),
    [
        ("ingest", [FAILED], "p-ingest FAILED, 3 minutes ago: FatalError: the password is wrong"),
        ("transform", [replace(FAILED, state="TIMEOUT", error="")], "p-transform TIMEOUT, 3 minutes ago: it left no message: see its log"),
        ("load", [FAILED, SUCCEEDED], "p-load FAILED, 3 minutes ago: FatalError: the password is wrong"),
        ("load", [HICCUP, SUCCEEDED], f"p-load FAILED, 3 minutes ago: {HICCUP.error}"),
        ("load", [RUNNING, HICCUP, SUCCEEDED], f"p-load FAILED, 3 minutes ago: {HICCUP.error}"),
        (
            "transform",
            [HICCUP, HICCUP, SUCCEEDED],
            f"p-transform FAILED, 3 minutes ago, as in each of its last 2 runs: {HICCUP.error}",
        ),
        (
            "ingest",
            [RUNNING, HICCUP, FAILED, HICCUP],
            f"p-ingest FAILED, 3 minutes ago, as in each of its last 3 runs: {HICCUP.error}",
        ),
    ],
    ids=["fatal", "timed out", "load", "load, retriable", "load, tried again", "retriable, twice", "retriable, tried again"],
)
def test_a_failure_that_the_next_run_will_not_mend_is_told(job: str, runs: list[JobState], said: str) -> None:
    assert said_of(ran(job, *runs)) == [said]


@pytest.mark.parametrize(
    "status",
    [
        ran("ingest", HICCUP, SUCCEEDED),
        ran("transform", HICCUP),
        ran("transform", RUNNING, HICCUP, SUCCEEDED, HICCUP),
        ran("load", SUCCEEDED, HICCUP, HICCUP),
        ran("load", RUNNING, SUCCEEDED, FAILED),
        replace(WELL, fresh_to=NOW - timedelta(minutes=29)),
        replace(WELL, warehouse=WarehouseStatus(7)),
        replace(WELL, warehouse=NotAsked("the warehouse cannot be reached")),
        replace(WELL, **pending_for(9)),
    ],
    ids=[
        "a hiccup", "a first hiccup", "tried again", "healed", "healed, running", "fresh enough", "never compared", "not asked", "landed",
    ],
)  # fmt: skip
def test_nobody_is_needed_for_what_goes_by_itself(status: Status) -> None:
    assert said_of(status) == []


PENDING_LONG = "batch 7 has been pending for 11 minutes"


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (ran("transform", SUCCEEDED, **pending_for(11, published=7)), f"{PENDING_LONG}: p-load has not run since: scripts/totesys run"),
        (ran("load", SUCCEEDED, **pending_for(11)), f"{PENDING_LONG}: p-transform has not run since: scripts/totesys run"),
        (ran("transform", HICCUP, **pending_for(11)), f"{PENDING_LONG}: p-transform FAILED, 3 minutes ago: {HICCUP.error}"),
        (ran("transform", RUNNING, HICCUP, **pending_for(11)), f"{PENDING_LONG}: p-transform is running, started 3 minutes ago"),
        (
            ran("load", SUCCEEDED, **pending_for(11, published=7)),
            f"{PENDING_LONG}: p-load succeeded 3 minutes ago, so the warehouse has lost what it held: scripts/totesys run loads it again",
        ),
    ],
    ids=["no load", "no transform", "transform failed", "transform runs", "restored from a backup"],
)
def test_work_that_is_pending_for_longer_than_two_ticks_is_told_with_what_stands_in_its_way(status: Status, said: str) -> None:
    assert said_of(status) == [said]


def test_a_warehouse_that_lacks_many_batches_is_told_by_the_first_and_the_last() -> None:
    pending = [Batch(seq, NOW - timedelta(hours=9 - seq), 3, "published") for seq in (7, 6, 5)]
    (said,) = said_of(replace(WELL, published=7, loaded=4, warehouse=WarehouseStatus(4), pending=pending))
    assert said == "3 batches up to batch 7 have been pending for 4 hours: p-load has not run since: scripts/totesys run"


def test_what_is_shown_can_be_read_at_a_glance(capsys: pytest.CaptureFixture[str]) -> None:
    paused = {"p-ingest-start": "DEACTIVATED", "p-publish-load": "ACTIVATED"}
    jobs = PipelineJobs(Job("p-ingest", (SUCCEEDED,)), Job("p-transform"), Job("p-load", (FAILED, SUCCEEDED)))
    show(make_console(), "p", replace(WELL, triggers=paused, jobs=jobs, dead={"design": 2}), NOW)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert {
        "version v1.2.0-3-g0a1b2c3, deployed 3 days ago",
        "trigger p-ingest-start paused",
        "trigger p-publish-load activated",
        "last run of p-ingest succeeded, started 3 minutes ago",
        "last run of p-load failed, started 3 minutes ago: FatalError: the password is wrong",
        "warehouse is of 10 minutes ago",
        "pending batches 0",
        "rows waiting for parents 0",
        "last comparison agreed, 60 minutes ago",
        "tables held none",
        "dead letters design 2",
        "7 2026-03-02 08:00:00 1,234 loaded",
    } <= set(lines)


@pytest.mark.parametrize(
    ("loaded", "shown"),
    [
        (7, {"warehouse is of 10 minutes ago", "pending batches 0"}),
        (None, {"warehouse is of unknown", "pending batches unknown"}),
    ],
)
def test_a_warehouse_that_cannot_be_asked_is_a_line_with_the_reason(
    capsys: pytest.CaptureFixture[str], loaded: int | None, shown: set[str]
) -> None:
    show(make_console(), "p", replace(WELL, warehouse=NotAsked("no route to it"), loaded=loaded, fresh_to=READ if loaded else None), NOW)
    lines = {" ".join(line.split()) for line in capsys.readouterr().out.splitlines()}
    assert {*shown, "the warehouse itself cannot be asked from here, so this is what AWS shows: no route to it"} <= lines


class Clock:
    """The clock of the command, which stands still."""

    def __init__(self, at: datetime) -> None:
        self._at = at

    def now(self, zone: timezone) -> datetime:
        return self._at.astimezone(zone)


@pytest.mark.parametrize(
    ("status", "code", "last"),
    [
        (WELL, 0, "all is well"),
        (replace(WELL, warehouse=NotAsked("no route")), 0, "all is well, as far as AWS shows: the warehouse cannot be asked from here"),
        (
            replace(WELL, warehouse=NotAsked("it forbids user p_load a statement: grant the right", is_refused=True)),
            1,
            "needs a person: nobody can ask the warehouse what it holds: it forbids user p_load a statement: grant the right",
        ),
        (ran("load", HICCUP), 1, f"needs a person: p-load FAILED, 3 minutes ago: {HICCUP.error}"),
    ],
    ids=["well", "not asked", "refused", "failed"],
)
def test_all_is_well_is_said_of_no_more_than_was_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, status: Status, code: int, last: str
) -> None:
    command_on(status, monkeypatch)
    ended = totesys(capsys, "status")
    assert (ended.code, ended.out[-1]) == (code, last)


def command_on(status: Status, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets `totesys status` find this one, at NOW."""
    monkeypatch.setattr("operations.cli.status.aws_session", lambda: None)
    monkeypatch.setattr("operations.cli.status.Deployment.read", lambda session: DEPLOYMENT)
    monkeypatch.setattr("operations.cli.status.gather", lambda session, deployment: status)
    monkeypatch.setattr("operations.cli.status.datetime", Clock(NOW))


def test_a_status_can_be_had_as_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    command_on(replace(ran("load", FAILED), held={"staff": HELD}), monkeypatch)
    ended = totesys(capsys, "status", "--json")
    found = ended.json
    assert (ended.code, ended.err) == (1, "")
    assert (found["project"], found["loaded_seq"], found["published_seq"], found["pending"]) == ("p", 7, 7, [])
    assert found["jobs"] == [
        {"job": "p-load", "state": "FAILED", "started_at": FAILED.started_at.isoformat(), "seconds": 180.0, "error": FAILED.error}
    ]
    assert found["held"] == {"staff": {"since": SNAPSHOT_AT, "reason": HELD.reason, "cure": HELD.cure}}
    assert [problem["what"] for problem in found["needs_a_person"]] == ["p-load FAILED", "staff is held"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-1, "0 seconds"), (1, "1 second"), (119, "119 seconds"), (120, "2 minutes"), (7200, "2 hours"), (9 * 86400, "9 days")],
)
def test_an_age_is_in_the_unit_that_a_person_would_take(seconds: int, said: str) -> None:
    assert age(NOW - timedelta(seconds=seconds), NOW) == said


@pytest.fixture
def lake() -> Iterator[FakeLake]:
    with mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
        for bucket in ("ingestion", "processed"):
            s3.create_bucket(Bucket=bucket)
        yield FakeLake(Bucket(s3, "ingestion"), Bucket(s3, "processed"))


def test_a_batch_is_landed_then_published_then_loaded() -> None:
    assert [stage(seq, published=2, loaded=1) for seq in (1, 2, 3)] == ["loaded", "published", "landed"]


def test_the_last_batches_are_shown_newest_first_and_all_that_wait(lake: FakeLake) -> None:
    assert last_batches(lake.ingestion, None, 0) == []
    for seq in range(1, MOST + 3):
        lake.land(seq)
    newest = newest_batch(lake.ingestion)
    assert [batch.seq for batch in last_batches(lake.ingestion, newest, MOST + 2)] == [52, 51, 50, 49, 48]
    assert [batch.seq for batch in last_batches(lake.ingestion, newest, MOST - 6)] == [52, 51, 50, 49, 48, 47, 46, 45]
    assert len(last_batches(lake.ingestion, newest, 0)) == MOST, "a lost warehouse lacks every batch there is"


def test_the_warehouse_is_of_the_moment_before_the_first_batch_that_waits(lake: FakeLake) -> None:
    assert fresh_to(lake.ingestion, None, 0, []) is None
    lake.land(1)
    lake.land(2)
    newest = newest_batch(lake.ingestion)
    assert newest is not None
    pending = [Batch(2, moment(newest), 3, "landed")]
    assert fresh_to(lake.ingestion, newest, 0, [*pending, Batch(1, READ, 3, "landed")]) is None
    assert fresh_to(lake.ingestion, newest, 1, pending) == moment(read_batch(lake.ingestion, 1))
    assert fresh_to(lake.ingestion, newest, 2, []) == moment(newest)
    assert fresh_to(lake.ingestion, newest, None, []) is None


def published(lake: FakeLake, *, seq: int, through: int, at: datetime) -> None:
    manifest = replace(NO_PUBLISH, seq=seq, previous_seq=seq - 1, through_batch_seq=through, published_at=at.isoformat())
    commit(lake.processed, manifest)


def test_aws_shows_the_publish_that_the_last_successful_load_found(lake: FakeLake) -> None:
    loads = (replace(HICCUP, started_at=NOW), SUCCEEDED)
    assert loaded_as_aws_shows(publishes(lake.processed), ()) == 0
    assert loaded_as_aws_shows(publishes(lake.processed), loads) == 0
    published(lake, seq=1, through=4, at=SUCCEEDED.started_at - timedelta(minutes=1))
    published(lake, seq=2, through=7, at=SUCCEEDED.started_at + timedelta(minutes=1))
    assert loaded_as_aws_shows(publishes(lake.processed), loads) == 4
    assert loaded_as_aws_shows(publishes(lake.processed), (SUCCEEDED, replace(SUCCEEDED, started_at=NOW))) == 4
    assert loaded_as_aws_shows(publishes(lake.processed), (HICCUP, HICCUP)) is None, "an older load may have succeeded"


class Paginating:
    """A client of boto3 that has nothing but paginators."""

    def get_paginator(self, operation: str) -> Pages:
        return Pages(getattr(self, operation))


def test_a_jobs_last_runs_are_one_small_request() -> None:
    asked = []

    class Glue(Paginating):
        def get_job_runs(self, **request: Any) -> dict[str, Any]:
            asked.append(request)
            return {"JobRuns": [{"Id": "jr_1", "JobRunState": "FAILED", "StartedOn": NOW, "ErrorMessage": "why"}]}

    jobs = last_runs(Glue(), DEPLOYMENT)
    assert asked == [{"JobName": job, "MaxResults": 5} for job in ("ingest", "transform", "load")]
    assert [(job.name, job.runs[0].job, job.runs[0].workflow, job.failures[0].error) for job in jobs] == [
        ("ingest", "ingest", "p-ingest", "why"), ("transform", "transform", "p-publish", "why"), ("load", "load", "p-publish", "why"),
    ]  # fmt: skip


def test_a_jobs_last_runs_may_come_in_several_pages() -> None:
    runs = [{"Id": f"jr_{number}", "JobRunState": "SUCCEEDED", "StartedOn": NOW - timedelta(minutes=number)} for number in range(9)]

    class Glue(Paginating):
        def get_job_runs(self, JobName: str, MaxResults: int, NextToken: str = "0") -> dict[str, Any]:
            start = int(NextToken)
            return {"JobRuns": runs[start : start + 2], "NextToken": str(start + 2)}

    assert [run.run_id for run in last_runs(Glue(), DEPLOYMENT).ingest.runs] == ["jr_0", "jr_1", "jr_2", "jr_3", "jr_4"]


def test_the_warehouse_says_what_it_holds_what_waits_and_what_the_last_comparison_found(warehouse: Database) -> None:
    assert read_warehouse(warehouse.credentials) == WarehouseStatus(0)
    engine = warehouse_engine(warehouse.credentials, "test")
    with engine.connect() as connection:
        prepare_warehouse(connection, load_contracts().warehouse)
    engine.dispose()
    assert read_warehouse(warehouse.credentials) == WarehouseStatus(0)
    with closing(warehouse.connect()) as connection, connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO etl.reconciliation VALUES ('2026-03-01', 3, 11, 2), ('2026-03-02', 4, 11, 5)")
    compared = datetime(2026, 3, 2, tzinfo=timezone.utc)
    assert read_warehouse(warehouse.credentials) == WarehouseStatus(0, compared_at=compared, differences=5)


def test_a_warehouse_that_is_not_there_says_why(warehouse: Database, lake: FakeLake) -> None:
    away = replace(warehouse.credentials, port=free_port())
    secrets = boto3.client("secretsmanager", "us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
    session = boto3.Session("test", "test", region_name="us-east-1")
    assert "p/warehouse" in str(ask_warehouse(session, DEPLOYMENT))
    secrets.create_secret(Name=DEPLOYMENT.warehouse_secret, SecretString=json.dumps(asdict(away)))
    reason = ask_warehouse(session, DEPLOYMENT)
    assert isinstance(reason, NotAsked) and "refused" in reason.reason and "\n" not in reason.reason
    assert not reason.is_refused, "a server that is not there may be there for the jobs"
    secrets.put_secret_value(
        SecretId=DEPLOYMENT.warehouse_secret, SecretString=json.dumps(asdict(replace(warehouse.credentials, dbname="gone")))
    )
    reason = ask_warehouse(session, DEPLOYMENT)
    assert isinstance(reason, NotAsked) and reason.is_refused and 'database "gone" does not exist' in reason.reason


def test_only_alarms_of_the_deployment_that_ring_are_shown() -> None:
    with mock_aws():
        client = boto3.client("cloudwatch", region_name="eu-west-2", aws_access_key_id="test", aws_secret_access_key="test")
        topic = "arn:aws:sns:eu-west-2:123456789012:p-alerts"
        for name, state, actions in (
            ("p-late", "ALARM", []), ("p-slow", "OK", []), ("p-new", "INSUFFICIENT_DATA", []), ("p-other-late", "ALARM", []),
            ("p-no-heartbeat", "INSUFFICIENT_DATA", [topic]),
        ):  # fmt: skip
            client.put_metric_alarm(
                AlarmName=name, Namespace="n", MetricName="m", Statistic="Sum", Period=60, EvaluationPeriods=1, Threshold=1,
                ComparisonOperator="GreaterThanThreshold", InsufficientDataActions=actions, ActionsEnabled=True,
            )  # fmt: skip
            client.set_alarm_state(AlarmName=name, StateValue=state, StateReason="test")
        names = ["p-late", "p-slow", "p-new", "p-no-heartbeat"]
        assert alarms(client, names, has_run=True) == ["p-late", "p-no-heartbeat"]
        assert alarms(client, names, has_run=False) == ["p-late"], "the heartbeat is silent until the first run"
        client.put_metric_alarm(
            AlarmName="p-no-heartbeat", Namespace="n", MetricName="m", Statistic="Sum", Period=60, EvaluationPeriods=1, Threshold=1,
            ComparisonOperator="GreaterThanThreshold", InsufficientDataActions=[topic], ActionsEnabled=False,
        )  # fmt: skip
        client.set_alarm_state(AlarmName="p-no-heartbeat", StateValue="INSUFFICIENT_DATA", StateReason="paused")
        assert alarms(client, names, has_run=True) == ["p-late"], "a pause has muted it"
        assert alarms(client, [], has_run=True) == []
