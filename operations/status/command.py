"""The command behind scripts/status.sh: shows what there is, and says what needs a person."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone

from rich.console import Console
from rich.text import Text
from totesys.errors import RetriableError

from operations.attempt import Attempt
from operations.console import make_console, make_table
from operations.deployment import Deployment, aws_session
from operations.run.display import JobState
from operations.schedule.trigger import PAUSED, schedule_trigger
from operations.status.gather import Status, gather

FRESHNESS = timedelta(minutes=30)  # how old a change may get before the warehouse has it
_DESCRIPTION = "Shows a deployment at a glance, from AWS alone, and the warehouse if it can be reached. Changes nothing."


def main(argv: Sequence[str]) -> int:
    """0: all is well; 1: something needs a person; 2: could not look."""
    argparse.ArgumentParser(prog="scripts/status.sh", description=_DESCRIPTION).parse_args(argv)
    with Attempt("status") as attempt:
        session = aws_session()
        deployment = Deployment.read(session)
        status, now = gather(session, deployment), datetime.now(timezone.utc)
        show(make_console(), deployment.project, status, now)
        wanted = list(needs_a_person(status, deployment.project, now))
        for line in wanted:
            print(f"needs a person: {line}")
        attempt.exit_code = 1 if wanted else 0
        if not wanted:
            print("all is well")
    return attempt.exit_code


def needs_a_person(status: Status, project: str, now: datetime) -> Iterator[str]:
    """What is not as it should be, and what to do about it."""
    for name, state in status.triggers.items():
        if name == schedule_trigger(project) and state in ("DEACTIVATED", "DEACTIVATING"):
            yield f"the schedule is {PAUSED}"
        elif state not in ("ACTIVATED", "ACTIVATING"):
            yield f"trigger {name} is {state}: scripts/deploy.sh activates it"
    for run in status.runs:
        # What is retriable, the next run does again by itself. Glue puts words of its own before a job's line.
        if run.is_failed and f"{RetriableError.__name__}: " not in run.error:
            yield f"{run.job} {run.state}, {age(run.started_at, now)} ago: {run.reason}"
    if status.waiting is None:
        yield "the warehouse cannot be asked from here what it holds"
    elif status.fresh_to is None:
        yield "nothing has been loaded yet: scripts/run.sh"
    elif now - status.fresh_to > FRESHNESS:
        yield f"the warehouse is {age(status.fresh_to, now)} old: scripts/run.sh shows what fails"
    for table, held in status.held.items():
        yield f"{table} is held since {held.since}: {held.reason}; {held.settle}"
    for table, count in status.dead.items():
        yield f"{table} has {count:,} {'row' if count == 1 else 'rows'} in the dead letter: scripts/deadletters.sh"
    for alarm in status.alarms:
        yield f"alarm {alarm} is in ALARM"


def show(console: Console, project: str, status: Status, now: datetime) -> None:
    """Prints what there is, good or bad."""
    rows = [
        ("version", f"{status.version}, deployed {age(status.deployed_at, now)} ago"),
        *((f"trigger {name}", "paused" if state == "DEACTIVATED" else state.lower()) for name, state in status.triggers.items()),
        *((f"last run of {run.job}", _said_of(run, now)) for run in status.runs),
        ("source read", f"{age(status.read_at, now)} ago" if status.read_at else "never"),
        (
            "warehouse is of",
            f"{age(status.fresh_to, now)} ago" if status.fresh_to else "unknown" if status.waiting is None else "never loaded",
        ),
        ("batches waiting", "unknown" if status.waiting is None else f"{status.waiting}"),
        (
            "rows waiting for parents",
            "the warehouse cannot be asked from here" if status.waiting_rows is None else f"{status.waiting_rows:,}",
        ),
        ("tables held", ", ".join(status.held) or "none"),
        ("dead letters", ", ".join(f"{table} {count:,}" for table, count in status.dead.items()) or "none"),
        ("alarms", ", ".join(status.alarms) or "none"),
    ]
    console.print(make_table([(project, "left"), ("", "left")], rows))
    batches = [
        (
            f"{batch.seq}",
            f"{batch.read_at:%Y-%m-%d %H:%M:%S}",
            f"{batch.rows:,}",
            Text(batch.stage, "green" if batch.stage == "loaded" else "yellow"),
        )
        for batch in status.batches
    ]
    if batches:
        console.print(make_table([("batch", "right"), ("read (UTC)", "left"), ("rows", "right"), ("stage", "left")], batches))


def _said_of(run: JobState, now: datetime) -> str:
    said = f"{run.state.lower()}, started {age(run.started_at, now)} ago"
    return f"{said}: {run.reason}" if run.is_failed else said


def age(then: datetime, now: datetime) -> str:
    """How long ago, in the unit that a person would take."""
    seconds = max(0, int((now - then).total_seconds()))
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}s"
    return f"{seconds} second{'' if seconds == 1 else 's'}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
