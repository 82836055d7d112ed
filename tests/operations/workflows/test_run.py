"""A tick follows its work to the end, whatever else is going on, and says what it brought."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable

import pytest
from rich.console import Console
from totesys.errors import RetriableError
from totesys.lake.manifests import DeadLetters, Held
from totesys.runtime.run_request import ORDINARY_RUN, RunRequest

from operations.cli.console import make_console
from operations.cli.run import print_outcome
from operations.workflows import runs
from operations.workflows.display import RunDisplay
from operations.workflows.runs import RunFailedError
from operations.workflows.tick import Tick, TickOutcome
from tests.support.commands import Ended
from tests.support.glue import DEPLOYMENT, INGEST, PUBLISH, SNAPSHOT_AT, FakeLake, FakeSession, Glue

Command = Callable[..., Ended]


def tick(glue: Glue, request: RunRequest = ORDINARY_RUN) -> TickOutcome | None:
    one = Tick(FakeSession(glue), DEPLOYMENT, make_console())
    return one.finish(one.start_ingest(request))


def test_a_tick_with_nothing_new_starts_no_publish(glue: Glue) -> None:
    glue.on_ingest = [lambda: None]
    assert tick(glue) is None
    assert glue.runs[PUBLISH] == []


def test_a_tick_follows_what_a_restored_warehouse_lacks_though_the_source_is_quiet(glue: Glue, lake: FakeLake) -> None:
    lake.land(1)
    lake.load(1)
    lake.land(2)
    lake.load(2)
    lake.loaded = 1
    glue.on_ingest = [lambda: glue.add(PUBLISH, jobs={"load": "SUCCEEDED"}, ends=lambda: lake.load_published(2))]
    outcome = tick(glue)
    assert outcome is not None
    assert (outcome.first_batch, outcome.through_batch) == (2, 2)


def test_a_run_says_so_where_the_warehouse_cannot_be_asked_and_follows_what_the_lake_lacks(
    glue: Glue, lake: FakeLake, command: Command
) -> None:
    lake.unknown = RetriableError("warehouse w on h:5432 cannot be asked how far it is loaded: no route")
    glue.on_ingest = [lambda: (lake.land(1), glue.publishes(through=1)), lambda: None]
    first, second = command("run"), command("run")
    assert first.out[-1] == "loaded batch 1: 3 rows read, 3 warehouse rows new or changed"
    assert second.out[-1] == (
        "nothing new has landed; what the warehouse holds is not known from here:"
        " warehouse w on h:5432 cannot be asked how far it is loaded: no route"
    )
    assert (first.code, second.code) == (0, 0)


def test_a_run_fails_where_the_warehouse_holds_what_has_not_landed(glue: Glue, lake: FakeLake, command: Command) -> None:
    lake.land(1)
    lake.load(1)
    lake.loaded = 7
    ended = command("run")
    assert ended.code == 2
    assert "the warehouse holds batch 7, but the newest batch with rows in the ingestion bucket is 1" in ended.err


def test_a_tick_follows_the_publish_that_its_batch_starts(glue: Glue, lake: FakeLake) -> None:
    glue.on_ingest = [lambda: (lake.land(1), glue.publishes(through=1))]
    outcome = tick(glue)
    assert outcome == TickOutcome(1, 1, landed=Counter(sales_order=3), loaded=Counter(fact_sales_order=3, dim_date=0), misses=Counter())


def test_runs_are_found_on_whatever_page_and_sorted_by_their_start(glue: Glue) -> None:
    for number in range(12):
        glue.add(PUBLISH, asked=2)
        glue.add(INGEST, asked=2 if number else 0)
    found = runs.WorkflowRuns(glue, DEPLOYMENT, RunDisplay(make_console()))
    assert found.running() == [(INGEST, "p-ingest-1")], "the oldest run is the one in progress"
    assert [run["WorkflowRunId"] for run in found._runs(PUBLISH)] == [f"{PUBLISH}-{number}" for number in range(12, 0, -1)]
    glue.add(PUBLISH)
    assert found.announced_publish(found.publish_ids() - {f"{PUBLISH}-13"}, lambda: True) == f"{PUBLISH}-13"


def test_what_a_person_demands_of_the_run_is_in_its_properties(glue: Glue, command: Command) -> None:
    glue.on_ingest = [lambda: None]
    command("run", "--full", "--accept-deletes", "payment", "--accept-deletes", "design")
    assert glue.started_with == [{"format": "1", "full": "true", "accept_deletes": "design,payment"}]


def test_only_the_first_of_the_runs_that_a_tick_needs_does_what_was_demanded(glue: Glue, lake: FakeLake) -> None:
    def lands_beside_a_publish() -> None:
        glue.add(PUBLISH, jobs={"transform": "SUCCEEDED"})
        lake.land(1)

    glue.on_ingest = [lands_beside_a_publish, lambda: glue.publishes(through=1)]
    tick(glue, RunRequest(full=True))
    assert glue.started_with == [{"format": "1", "full": "true"}, {}]


def test_a_table_that_no_contract_names_cannot_be_let_go(glue: Glue, command: Command) -> None:
    ended = command("run", "--accept-deletes", "fact_payment")
    assert ended.code == 2
    assert "'fact_payment' is not one of 'address'," in ended.err
    assert glue.started_with == []


def test_work_that_nobody_announced_since_a_publish_was_running_is_announced_by_another_tick(glue: Glue, lake: FakeLake) -> None:
    def lands_beside_a_publish() -> None:
        glue.add(PUBLISH, jobs={"transform": "SUCCEEDED"})
        lake.land(1)

    glue.on_ingest = [lands_beside_a_publish, lambda: glue.publishes(through=1)]
    outcome = tick(glue)
    assert outcome is not None
    assert outcome.loaded["fact_sales_order"] == 3


def test_a_publish_that_was_refused_is_not_waited_for(glue: Glue, lake: FakeLake) -> None:
    def lands_and_is_refused() -> None:
        lake.land(1)
        glue.publishes(through=1)
        glue.add(PUBLISH, status="ERROR", error="Concurrent runs exceeded")

    glue.on_ingest = [lands_and_is_refused]
    assert tick(glue) is not None


def test_a_failed_job_fails_the_tick_with_its_error(glue: Glue, lake: FakeLake) -> None:
    def lands_and_fails() -> None:
        lake.land(1)
        jobs = {"transform": "SUCCEEDED", "load": "FAILED"}
        glue.add(PUBLISH, jobs=jobs, error="RetriableError: warehouse cannot be reached: start it")

    glue.on_ingest = [lands_and_fails]
    with pytest.raises(RunFailedError, match=r"^load FAILED: RetriableError: warehouse cannot be reached: start it$"):
        tick(glue)


def test_what_a_failed_publish_has_left_is_loaded_by_the_next_tick_and_counted(glue: Glue, lake: FakeLake) -> None:
    lake.land(1)
    glue.on_ingest = [lambda: glue.publishes(through=1)]
    outcome = tick(glue)
    assert outcome is not None
    assert outcome.landed["sales_order"] == 3


def test_publishes_are_followed_back_by_what_each_says_it_follows(glue: Glue, lake: FakeLake) -> None:
    """Numbers go on where a bucket that was lost had come to: between two publishes some may be missing."""

    def lands_and_is_published_twice() -> None:
        lake.land(1)
        lake.publish(1, number=7)
        lake.land(2)
        glue.add(PUBLISH, jobs={"transform": "SUCCEEDED", "load": "SUCCEEDED"}, ends=lambda: (lake.publish(2, number=9), lake.load(2)))

    glue.on_ingest = [lands_and_is_published_twice]
    outcome = tick(glue)
    assert outcome is not None
    assert (outcome.first_batch, outcome.through_batch) == (1, 2)


def test_a_batch_that_an_unloaded_backfill_brought_in_again_counts_once_or_not_at_all(glue: Glue, lake: FakeLake) -> None:
    lake.land(1)
    lake.load(1)
    lake.land(2)
    lake.publish(2)
    lake.publish(1, 2)
    glue.on_ingest = [lambda: glue.add(PUBLISH, jobs={"load": "SUCCEEDED"}, ends=lambda: lake.load_published(2))]
    outcome = tick(glue)
    assert outcome is not None
    assert (outcome.first_batch, outcome.through_batch, outcome.landed["sales_order"]) == (2, 2, 3)


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


def test_a_publish_that_never_starts_fails_the_tick_with_what_to_do(glue: Glue, lake: FakeLake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "_EVENT_ARRIVES_WITHIN", 0.1)
    glue.on_ingest = [lambda: lake.land(1)]
    with pytest.raises(RunFailedError, match=r"did not start: run scripts/deploy.sh"):
        tick(glue)


def test_a_long_error_is_cut_to_one_readable_line(glue: Glue, lake: FakeLake) -> None:
    stack = "Py4JJavaError: no such file\n" + "\n\tat org.apache.spark" * 500
    glue.on_ingest = [lambda: (lake.land(1), glue.add(PUBLISH, jobs={"transform": "FAILED"}, error=stack))]
    with pytest.raises(RunFailedError) as caught:
        tick(glue)
    assert str(caught.value).startswith("transform FAILED: Py4JJavaError: no such file at org.apache.spark")
    assert str(caught.value).endswith("(the rest is in the job's log)")
    assert len(str(caught.value)) < 450


def test_each_change_of_a_job_is_a_line_where_there_is_no_terminal(glue: Glue, lake: FakeLake, capsys: pytest.CaptureFixture[str]) -> None:
    glue.on_ingest = [lambda: (lake.land(1), glue.publishes(through=1))]
    print_outcome(make_console(), tick(glue), unknown="")
    lines = capsys.readouterr().out.splitlines()
    assert [line[9:] for line in lines[:2]] == ["ingest RUNNING", "ingest SUCCEEDED after 0.0 s"]
    assert lines[-1] == "loaded batch 1: 3 rows read, 3 warehouse rows new or changed"
    assert not [line for line in lines if "dim_date" in line], "tables without new rows are left out"


def test_a_terminal_shows_every_job_in_one_table(glue: Glue, lake: FakeLake) -> None:
    terminal = Console(force_terminal=True, width=100, file=io.StringIO())
    glue.on_ingest = [lambda: (lake.land(1), glue.publishes(through=1))]
    one = Tick(FakeSession(glue), DEPLOYMENT, terminal)
    with one.display:
        one.finish(one.start_ingest())
    last_picture = terminal.file.getvalue().rsplit("workflow", 1)[1]  # type: ignore[attr-defined]
    assert [last_picture.count(job) for job in ("p-ingest", "transform", "load")] == [1, 1, 1]
    assert last_picture.count("SUCCEEDED") == 3


def test_a_held_table_is_named_with_what_settles_it(glue: Glue, lake: FakeLake, command: Command) -> None:
    settle = "if the deletes are intended: scripts/totesys run --accept-deletes payment"
    lake.land(1, held={"payment": Held("deletes", "3 of 10 rows are gone from the source", settle, SNAPSHOT_AT, 1, 7, 1, 1)})
    lake.load(1)
    glue.on_ingest = [lambda: None]
    ended = command("run")
    assert ended.out[-2:] == [
        "nothing new: the warehouse holds every batch",
        f"needs a person: payment is held since {SNAPSHOT_AT}: 3 of 10 rows are gone from the source. Nothing of it is lost."
        " What to do: if the deletes are intended: scripts/totesys run --accept-deletes payment",
    ]
    assert (ended.code, ended.err) == (0, "run: needs a person: payment is held\n")


def test_rows_that_every_delta_had_missed_are_reported(glue: Glue, lake: FakeLake, command: Command) -> None:
    def publishes_a_miss() -> None:
        lake.land(1)
        glue.add(PUBLISH, jobs={"transform": "SUCCEEDED"}, ends=lambda: (lake.publish(1, misses={"sales_order": 2}), lake.load(1)))

    glue.on_ingest = [publishes_a_miss]
    ended = command("run", "--full")
    what = "a full read found 2 rows of sales_order that no delta had found"
    assert ended.out[-1] == f"needs a person: {what}: they are in now; report it"
    assert (ended.code, ended.err) == (0, f"run: needs a person: {what}\n")


def test_new_dead_letters_and_drift_that_flows_are_told_by_the_run_that_found_them_alone(
    glue: Glue, lake: FakeLake, command: Command
) -> None:
    drift = {"design": ("design.note: expected no such column, found text, which is not read (column_added)",)}
    glue.on_ingest = [
        lambda: (lake.land(1, dead=DeadLetters("", 5, 2), drift=drift), glue.publishes(through=1)),
        lambda: (lake.land(2, dead=DeadLetters("", 5, 0), drift=drift), glue.publishes(through=2)),
    ]
    first, second = command("run"), command("run")
    assert first.out[-2:] == [
        "needs a person: payment: 2 rows break the contract and are kept out, all others flow on: scripts/totesys deadletters show payment",
        "needs a person: design: design.note: expected no such column, found text, which is not read (column_added). The rows flow on."
        " To take the change into the contract: scripts/totesys schema propose design --write, then scripts/deploy.sh",
    ]
    assert (first.code, first.err) == (0, "run: needs a person: payment: rows in the dead letter; design: source changed\n")
    assert (second.code, second.err) == (0, "")


def test_what_a_first_of_several_batches_found_is_told_too(glue: Glue, lake: FakeLake, command: Command) -> None:
    def lands_twice() -> None:
        lake.land(1, dead=DeadLetters("", 2, 2))
        lake.land(2, dead=DeadLetters("", 2, 0))
        glue.add(PUBLISH, jobs={"transform": "SUCCEEDED"}, ends=lambda: (lake.publish(1, 2), lake.load_published(2)))

    glue.on_ingest = [lands_twice]
    assert command("run").err == "run: needs a person: payment: rows in the dead letter\n"


def test_a_run_that_needs_nobody_says_nothing_on_stderr(glue: Glue, lake: FakeLake, command: Command) -> None:
    glue.on_ingest = [lambda: (lake.land(1), glue.publishes(through=1))]
    assert command("run").err == ""


def test_a_failed_run_ends_with_1_and_the_jobs_error(glue: Glue, lake: FakeLake, command: Command) -> None:
    glue.on_ingest = [lambda: (lake.land(1), glue.add(PUBLISH, jobs={"load": "FAILED"}, error="FatalError: it went wrong"))]
    ended = command("run")
    assert (ended.code, ended.err) == (1, "run: failed: load FAILED: FatalError: it went wrong\n")


def test_json_is_all_that_stdout_has_and_progress_goes_to_stderr(glue: Glue, lake: FakeLake, command: Command) -> None:
    glue.on_ingest = [lambda: (lake.land(1, dead=DeadLetters("", 2, 2)), glue.publishes(through=1)), lambda: None]
    first, second = command("run", "--json"), command("run", "--json")
    answer = first.json
    assert answer["loaded"] == {
        "first_batch": 1, "through_batch": 1, "rows_read": {"sales_order": 3}, "warehouse_rows": {"fact_sales_order": 3},
    }  # fmt: skip
    assert [problem["what"] for problem in answer["needs_a_person"]] == ["payment: rows in the dead letter"]
    assert "ingest SUCCEEDED" in first.err
    assert second.json == {"loaded": None, "unknown": None, "needs_a_person": []}


def test_an_interrupted_run_ends_with_130_and_says_that_the_run_goes_on(glue: Glue, command: Command) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    glue.on_ingest = [interrupt]
    ended = command("run")
    assert (ended.code, ended.err) == (130, "run: no longer waiting; what was started goes on\n")
