"""A tick follows its work to the end, whatever else is going on, and says what it brought."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws
from rich.console import Console
from totesys.store import Bucket

from operations.console import make_console
from operations.run import command as run
from operations.run.command import Outcome, RunFailedError, Tick, print_outcome
from tests.operations.glue import DEPLOYMENT, INGEST, PUBLISH, Glue, Lake


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
        for bucket in ("ingestion", "processed"):
            client.create_bucket(Bucket=bucket)
        yield client


@pytest.fixture
def lake(s3: Any) -> Iterator[Lake]:
    lake = Lake(Bucket(s3, "ingestion"), Bucket(s3, "processed"))
    yield lake
    for bucket in (lake.ingestion, lake.processed):
        for key, _ in list(bucket.objects("")):
            s3.delete_object(Bucket=bucket.name, Key=key)


@pytest.fixture
def glue(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Glue:
    monkeypatch.setattr(run, "_FIRST_POLL", 0.0)
    return Glue(lake)


class Session:
    """The two clients of a boto3 session that a tick asks for."""

    def __init__(self, glue: Glue) -> None:
        self._clients = {"glue": glue, "s3": glue.lake.ingestion.client}

    def client(self, name: str) -> Any:
        return self._clients[name]


def tick(glue: Glue, full: bool = False) -> Outcome | None:
    one = Tick(Session(glue), DEPLOYMENT, make_console())
    return one.finish(one.start_ingest(full))


def test_a_tick_with_nothing_new_starts_no_publish(glue: Glue) -> None:
    glue.on_ingest = [lambda: None]
    assert tick(glue) is None
    assert glue.runs[PUBLISH] == []


def test_a_tick_follows_the_publish_that_its_batch_starts(glue: Glue, lake: Lake) -> None:
    glue.on_ingest = [lambda: (lake.land(1), glue.publishes(through=1))]
    outcome = tick(glue)
    assert outcome == Outcome(1, 1, landed={"sales_order": 3}, loaded={"fact_sales_order": 3, "dim_date": 0})


def test_a_full_read_is_asked_for_by_a_run_property(glue: Glue) -> None:
    glue.on_ingest = [lambda: None]
    tick(glue, full=True)
    assert glue.started_with == [{"full": "true"}]


def test_work_that_nobody_announced_since_a_publish_was_running_is_announced_by_another_tick(glue: Glue, lake: Lake) -> None:
    def lands_beside_a_publish() -> None:
        glue.add(PUBLISH, jobs={"transform": "SUCCEEDED"})
        lake.land(1)

    glue.on_ingest = [lands_beside_a_publish, lambda: glue.publishes(through=1)]
    outcome = tick(glue)
    assert outcome is not None
    assert outcome.loaded["fact_sales_order"] == 3


def test_a_publish_that_was_refused_is_not_waited_for(glue: Glue, lake: Lake) -> None:
    def lands_and_is_refused() -> None:
        lake.land(1)
        glue.publishes(through=1)
        glue.add(PUBLISH, status="ERROR", error="Concurrent runs exceeded")

    glue.on_ingest = [lands_and_is_refused]
    assert tick(glue) is not None


def test_a_failed_job_fails_the_tick_with_its_error(glue: Glue, lake: Lake) -> None:
    def lands_and_fails() -> None:
        lake.land(1)
        jobs = {"transform": "SUCCEEDED", "load": "FAILED"}
        glue.add(PUBLISH, jobs=jobs, error="RetriableError: warehouse cannot be reached: start it")

    glue.on_ingest = [lands_and_fails]
    with pytest.raises(RunFailedError, match=r"^load FAILED: RetriableError: warehouse cannot be reached: start it$"):
        tick(glue)


def test_what_a_failed_publish_has_left_is_loaded_by_the_next_tick_and_counted(glue: Glue, lake: Lake) -> None:
    lake.land(1)
    glue.on_ingest = [lambda: glue.publishes(through=1)]
    outcome = tick(glue)
    assert outcome is not None
    assert outcome.landed["sales_order"] == 3


@pytest.mark.parametrize("workflow", [INGEST, PUBLISH])
def test_a_tick_waits_for_another_run_before_it_starts_its_own(glue: Glue, workflow: str) -> None:
    other = glue.add(workflow, jobs={"load": "FAILED"}, error="somebody else's failure")
    glue.on_ingest = [lambda: None]
    assert tick(glue) is None
    assert other.has_ended


def test_a_tick_that_another_forestalls_tries_again(glue: Glue) -> None:
    glue.refusals = 2
    glue.on_ingest = [lambda: None]
    assert tick(glue) is None


def test_a_publish_that_never_starts_fails_the_tick_with_what_to_do(glue: Glue, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_EVENT_ARRIVES_WITHIN", 0.1)
    glue.on_ingest = [lambda: lake.land(1)]
    with pytest.raises(RunFailedError, match=r"did not start within .* run scripts/deploy.sh"):
        tick(glue)


def test_a_long_error_is_cut_to_one_readable_line(glue: Glue, lake: Lake) -> None:
    stack = "Py4JJavaError: no such file\n" + "\n\tat org.apache.spark" * 500
    glue.on_ingest = [lambda: (lake.land(1), glue.add(PUBLISH, jobs={"transform": "FAILED"}, error=stack))]
    with pytest.raises(RunFailedError) as caught:
        tick(glue)
    assert str(caught.value).startswith("transform FAILED: Py4JJavaError: no such file at org.apache.spark")
    assert str(caught.value).endswith("(the rest is in the job's log)")
    assert len(str(caught.value)) < 450


def test_each_change_of_a_job_is_a_line_where_there_is_no_terminal(glue: Glue, lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    glue.on_ingest = [lambda: (lake.land(1), glue.publishes(through=1))]
    print_outcome(make_console(), tick(glue))
    lines = capsys.readouterr().out.splitlines()
    assert [line[9:] for line in lines[:2]] == ["ingest RUNNING", "ingest SUCCEEDED after 0.0 s"]
    assert lines[-1] == "loaded batch 1: 3 rows read, 3 warehouse rows new or changed"
    assert not [line for line in lines if "dim_date" in line], "tables without new rows are left out"


def test_a_terminal_shows_every_job_in_one_table(glue: Glue, lake: Lake) -> None:
    terminal = Console(force_terminal=True, width=100, file=io.StringIO())
    glue.on_ingest = [lambda: (lake.land(1), glue.publishes(through=1))]
    one = Tick(Session(glue), DEPLOYMENT, terminal)
    with one.display:
        one.finish(one.start_ingest())
    last_picture = terminal.file.getvalue().rsplit("workflow", 1)[1]  # type: ignore[attr-defined]
    assert [last_picture.count(job) for job in ("p-ingest", "transform", "load")] == [1, 1, 1]
    assert last_picture.count("SUCCEEDED") == 3
