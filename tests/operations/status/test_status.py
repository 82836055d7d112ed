"""What the status says, and of what it says that a person is needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import boto3
import pytest
from moto import mock_aws
from totesys.manifests import Held
from totesys.store import Bucket

from operations.console import make_console
from operations.lake import Lake as Manifests
from operations.run.display import JobState
from operations.status.command import age, needs_a_person, show
from operations.status.gather import Batch, Status, alarms, fresh_to, last_batches, moment, stage
from tests.operations.runs.glue import SNAPSHOT_AT, Lake

NOW = datetime(2026, 3, 2, 8, 10, tzinfo=timezone.utc)
READ = datetime.fromisoformat(SNAPSHOT_AT)
WELL = Status(
    version="v1.2.0-3-g0a1b2c3", deployed_at=NOW - timedelta(days=3),
    triggers={"p-ingest-start": "ACTIVATED", "p-publish-load": "ACTIVATED"}, runs=[],
    batches=[Batch(7, READ, 1234, "loaded")], read_at=READ, fresh_to=READ, waiting=0, held={}, dead={}, alarms=[], waiting_rows=0,
)  # fmt: skip
FAILED = JobState("jr_1", "p-publish", "p-load", "FAILED", NOW - timedelta(minutes=3), NOW, "FatalError: the password is wrong")
HELD = Held("deletes", "staff: 12 of 20 rows are gone", "say scripts/run.sh --accept-deletes staff", SNAPSHOT_AT, 1, 20, 1, 1)


def test_nobody_is_needed_when_all_is_well() -> None:
    assert list(needs_a_person(WELL, "p", NOW)) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"triggers": {"p-ingest-start": "DEACTIVATED"}}, "the schedule is paused: scripts/resume.sh restarts the schedule"),
        ({"triggers": {"p-publish-load": "DEACTIVATED"}}, "trigger p-publish-load is DEACTIVATED: scripts/deploy.sh activates it"),
        ({"runs": [FAILED]}, "p-load FAILED, 3 minutes ago: FatalError: the password is wrong"),
        ({"runs": [replace(FAILED, state="TIMEOUT", error="")]}, "p-load TIMEOUT, 3 minutes ago: it left no message: see its log"),
        ({"fresh_to": None}, "nothing has been loaded yet: scripts/run.sh"),
        ({"fresh_to": NOW - timedelta(minutes=31)}, "the warehouse is 31 minutes old: scripts/run.sh shows what fails"),
        ({"held": {"staff": HELD}}, f"staff is held since {SNAPSHOT_AT}: {HELD.reason}; {HELD.settle}"),
        ({"dead": {"design": 1}}, "design has 1 row in the dead letter: scripts/deadletters.sh"),
        ({"alarms": ["p-late"]}, "alarm p-late is in ALARM"),
    ],
    ids=["paused", "trigger", "failed", "timed out", "never loaded", "late", "held", "dead letter", "alarm"],
)
def test_a_person_is_told_what_is_not_as_it_should_be(changes: dict[str, Any], said: str) -> None:
    assert list(needs_a_person(replace(WELL, **changes), "p", NOW)) == [said]


@pytest.mark.parametrize(
    "changes",
    [
        {"waiting": 2},
        {"waiting_rows": None},
        {"fresh_to": NOW - timedelta(minutes=29)},
        {"runs": [replace(FAILED, error="RetriableError: the warehouse cannot be reached")]},
        {"runs": [replace(FAILED, error="Error Category: UNCLASSIFIED_ERROR; SystemExit: RetriableError: the lake cannot be read")]},
        {"runs": [replace(FAILED, state="SUCCEEDED", error="")]},
    ],
)
def test_nobody_is_needed_for_what_goes_by_itself(changes: dict[str, Any]) -> None:
    assert list(needs_a_person(replace(WELL, **changes), "p", NOW)) == []


def test_what_is_shown_can_be_read_at_a_glance(capsys: pytest.CaptureFixture[str]) -> None:
    paused = {"p-ingest-start": "DEACTIVATED", "p-publish-load": "ACTIVATED"}
    runs = [replace(FAILED, job="p-ingest", state="SUCCEEDED"), FAILED]
    show(make_console(), "p", replace(WELL, triggers=paused, runs=runs, waiting_rows=None, dead={"design": 2}), NOW)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert {
        "version v1.2.0-3-g0a1b2c3, deployed 3 days ago",
        "trigger p-ingest-start paused",
        "trigger p-publish-load activated",
        "last run of p-ingest succeeded, started 3 minutes ago",
        "last run of p-load failed, started 3 minutes ago: FatalError: the password is wrong",
        "warehouse is of 10 minutes ago",
        "rows waiting for parents the warehouse cannot be asked from here",
        "tables held none",
        "dead letters design 2",
        "7 2026-03-02 08:00:00 1,234 loaded",
    } <= set(lines)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-1, "0 seconds"), (1, "1 second"), (119, "119 seconds"), (120, "2 minutes"), (7200, "2 hours"), (9 * 86400, "9 days")],
)
def test_an_age_is_in_the_unit_that_a_person_would_take(seconds: int, said: str) -> None:
    assert age(NOW - timedelta(seconds=seconds), NOW) == said


@pytest.fixture
def lake() -> Iterator[Lake]:
    with mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
        for bucket in ("ingestion", "processed"):
            s3.create_bucket(Bucket=bucket)
        yield Lake(Bucket(s3, "ingestion"), Bucket(s3, "processed"))


def test_a_batch_is_landed_then_published_then_loaded() -> None:
    assert [stage(seq, published=2, loaded=1) for seq in (1, 2, 3)] == ["loaded", "published", "landed"]


def test_the_last_batches_are_shown_newest_first(lake: Lake) -> None:
    manifests = Manifests(lake.ingestion, lake.processed, lake.ask)
    assert last_batches(manifests, manifests.newest_batch()) == []
    for seq in range(1, 8):
        lake.land(seq)
    assert [batch.seq for batch in last_batches(manifests, manifests.newest_batch())] == [7, 6, 5, 4, 3]


def test_the_warehouse_is_of_the_moment_before_the_first_batch_that_waits(lake: Lake) -> None:
    manifests = Manifests(lake.ingestion, lake.processed, lake.ask)
    assert fresh_to(manifests, None, []) is None
    lake.land(1)
    assert fresh_to(manifests, manifests.newest_batch(), manifests.waiting_batches()) is None
    lake.land(2)
    lake.load(1)
    newest = manifests.newest_batch()
    assert newest is not None
    assert fresh_to(manifests, newest, manifests.waiting_batches()) == moment(manifests.batch(1))
    lake.load(2)
    assert fresh_to(manifests, newest, manifests.waiting_batches()) == moment(newest)


def test_only_alarms_of_the_deployment_that_are_in_alarm_are_shown() -> None:
    with mock_aws():
        client = boto3.client("cloudwatch", region_name="eu-west-2", aws_access_key_id="test", aws_secret_access_key="test")
        for name, state in (("p-late", "ALARM"), ("p-no-heartbeat", "OK"), ("p-other-late", "ALARM")):
            client.put_metric_alarm(
                AlarmName=name, Namespace="n", MetricName="m", Statistic="Sum", Period=60, EvaluationPeriods=1, Threshold=1,
                ComparisonOperator="GreaterThanThreshold",
            )  # fmt: skip
            client.set_alarm_state(AlarmName=name, StateValue=state, StateReason="test")
        assert alarms(client, ["p-late", "p-no-heartbeat"]) == ["p-late"]
        assert alarms(client, []) == []
