"""The schedule is paused and resumed, nothing else is touched, and what goes on or waits meanwhile is said."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from totesys.errors import FatalError, RetriableError

from operations.workflows import runs, trigger
from tests.support.commands import Ended
from tests.support.glue import INGEST, PUBLISH, SNAPSHOT_AT, FakeLake, Glue

Command = Callable[..., Ended]


def test_a_pause_stops_the_schedule_and_ends_once_it_has_stopped(glue: Glue, command: Command) -> None:
    assert command("pause") == Ended(0, ["paused: nothing starts ingest by the clock until scripts/totesys resume"], "")
    assert glue.schedule == ["DEACTIVATED"]


def test_a_second_pause_changes_nothing(glue: Glue, command: Command) -> None:
    glue.schedule = ["DEACTIVATED"]
    assert command("pause") == Ended(0, ["paused already: nothing starts ingest by the clock until scripts/totesys resume"], "")
    assert glue.asked_of_schedule == []


def test_a_pause_leaves_a_run_in_progress_alone_and_names_it(glue: Glue, command: Command) -> None:
    run = glue.add(INGEST, jobs={"ingest": "SUCCEEDED"})
    (line,) = command("pause").out
    assert line.endswith("until scripts/totesys resume; p-ingest is running, and goes on to its end")
    assert not run.has_ended


def test_a_pause_that_waits_follows_what_the_run_in_progress_announces(glue: Glue, lake: FakeLake, command: Command) -> None:
    glue.add(INGEST, jobs={"ingest": "SUCCEEDED"}, ends=lambda: (lake.land(1), glue.publishes(through=1)))
    assert command("pause", "--wait").out[-1] == "idle: no run is in progress"
    assert [run.has_ended for run in (*glue.runs[INGEST], *glue.runs[PUBLISH])] == [True, True]


def test_a_pause_that_waits_follows_a_publish_whose_announcement_is_still_on_its_way(glue: Glue, lake: FakeLake, command: Command) -> None:
    glue.add(INGEST, jobs={"ingest": "SUCCEEDED"}, ends=lambda: lake.land(1))
    glue.underway = [lambda: glue.publishes(through=1)]
    assert command("pause", "--wait").out[-1] == "idle: no run is in progress"


def test_a_pause_that_waits_says_what_no_run_will_load(
    glue: Glue, lake: FakeLake, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "_EVENT_ARRIVES_WITHIN", 0.1)
    lake.land(1)
    glue.add(PUBLISH, jobs={"transform": "FAILED"})
    assert command("pause", "--wait").out[-1] == "idle: no run is in progress; 1 batch is pending: scripts/totesys run loads it"


def test_a_resume_starts_the_schedule_and_says_since_when_the_source_was_not_read(glue: Glue, lake: FakeLake, command: Command) -> None:
    glue.schedule = ["DEACTIVATED"]
    for seq in (1, 2, 3):
        lake.land(seq)
    lake.load(1)
    assert command("resume") == Ended(0, [f"resumed: the source was last read at {SNAPSHOT_AT}; 2 batches are pending"], "")
    assert glue.schedule == ["ACTIVATED"]


def test_what_waits_is_not_known_where_the_warehouse_cannot_be_asked(glue: Glue, lake: FakeLake, command: Command) -> None:
    lake.land(1)
    lake.unknown = RetriableError("warehouse w on h:5432 cannot be asked how far it is loaded: no route")
    assert command("resume").out == [
        f"not paused: the source was last read at {SNAPSHOT_AT}; how many batches are pending is not known from here: {lake.unknown}"
    ]
    lake.publish(1)
    assert command("pause", "--wait").out[-1] == (
        f"idle: no run is in progress; how many batches are pending is not known from here: {lake.unknown}"
    )


def test_a_resume_of_what_is_not_paused_changes_nothing(glue: Glue, lake: FakeLake, command: Command) -> None:
    lake.land(1)
    lake.load(1)
    assert command("resume") == Ended(0, [f"not paused: the source was last read at {SNAPSHOT_AT}; no batch is pending"], "")
    assert glue.asked_of_schedule == []


def test_a_resume_before_the_first_batch_says_so(glue: Glue, command: Command) -> None:
    glue.schedule = ["CREATED"]
    assert command("resume") == Ended(0, ["resumed: the source has not been read yet"], "")


def test_a_schedule_that_was_never_started_can_be_paused(glue: Glue) -> None:
    glue.schedule = ["CREATED"]
    assert trigger.deactivate(glue, "p-ingest-start")
    assert glue.asked_of_schedule == ["start", "stop"]
    assert trigger.is_paused(glue, "p")


def test_a_trigger_that_does_not_stop_is_named_with_its_state(glue: Glue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trigger, "_LONGEST", 0.1)
    glue.schedule = ["UPDATING"]
    with pytest.raises(FatalError, match="trigger p-ingest-start is UPDATING and does not become DEACTIVATED"):
        trigger.deactivate(glue, "p-ingest-start")


@pytest.mark.parametrize("state", ["DEACTIVATING", "DEACTIVATED"])
def test_a_schedule_that_stops_is_paused(glue: Glue, state: str) -> None:
    glue.schedule = [state]
    assert trigger.is_paused(glue, "p")


def test_a_schedule_that_is_active_or_not_there_is_not_paused(glue: Glue) -> None:
    assert not trigger.is_paused(glue, "p")
    assert not trigger.is_paused(glue, "elsewhere")
