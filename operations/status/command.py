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
from operations.status.gather import MOST, ON_EVENT, Batch, Job, NotAsked, Status, Warehouse, gather

FRESHNESS = timedelta(minutes=30)  # how old a change may get before the warehouse has it
PENDING = timedelta(minutes=10)  # how long a batch may wait: two ticks of the schedule, after which it has been announced again
NOT_ASKED = "cannot be asked from here"
_DESCRIPTION = "Shows a deployment at a glance, from AWS and from the warehouse if it can be reached. Changes nothing."


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
            limits = "" if isinstance(status.warehouse, Warehouse) else f", as far as AWS shows: the warehouse {NOT_ASKED}"
            print(f"all is well{limits}")
    return attempt.exit_code


def needs_a_person(status: Status, project: str, now: datetime) -> Iterator[str]:
    """What is not as it should be, and what to do about it."""
    for name, state in status.triggers.items():
        if name == schedule_trigger(project) and state in ("DEACTIVATED", "DEACTIVATING"):
            yield f"the schedule is {PAUSED}"
        elif state not in ("ACTIVATED", "ACTIVATING", ON_EVENT):
            yield f"trigger {name} is {state}: scripts/deploy.sh activates it"
    for job in status.jobs:
        yield from _failures(job, job is status.jobs.load, now)
    yield from _of_the_warehouse(status, now)
    for table, held in status.held.items():
        yield f"{table} is held since {held.since}: {held.reason}; {held.cure}"
    for table, count in status.dead.items():
        yield f"{table} has {count:,} {'row' if count == 1 else 'rows'} in the dead letter: scripts/deadletters.sh"
    for alarm in status.alarms:
        yield f"alarm {alarm} rings"


def _failures(job: Job, is_load: bool, now: datetime) -> Iterator[str]:
    """Yield the job's last failure if the next run will not end it by itself. One retriable failure may pass; a second in a row does not.
    A failed load is always told: until the next load succeeds, the warehouse lacks what has landed."""
    failures = job.failures
    if not failures:
        return
    run = failures[0]
    is_retriable = f"{RetriableError.__name__}: " in run.error  # Glue puts words of its own before a job's line
    if len(failures) > 1 or is_load or not is_retriable:
        repeated = f", as in each of its last {len(failures)} runs" if len(failures) > 1 else ""
        yield f"{job.name} {run.state}, {age(run.started_at, now)} ago{repeated}: {run.reason}"


def _of_the_warehouse(status: Status, now: datetime) -> Iterator[str]:
    """Yield what the warehouse lacks, where it differs from the source, and why it refuses to answer."""
    if isinstance(status.warehouse, NotAsked) and status.warehouse.is_refused:
        yield f"nobody can ask the warehouse what it holds: {status.warehouse.reason}"
    if status.loaded is not None and status.loaded > status.landed:
        yield (
            f"the warehouse holds batch {status.loaded}, but the newest with rows in the ingestion bucket is batch {status.landed}:"
            " either its secret names the warehouse of another lake, or the bucket has lost batches"
        )
    elif status.loaded == 0:
        yield "nothing has been loaded yet: scripts/run.sh"
    if status.waiting and now - status.waiting[-1].read_at > PENDING:
        yield f"{_counted(status.waiting)} waited for {age(status.waiting[-1].read_at, now)}: {_in_the_way(status, now)}"
    elif status.fresh_to and now - status.fresh_to > FRESHNESS:
        yield f"the warehouse is {age(status.fresh_to, now)} old: scripts/run.sh shows what fails"
    if isinstance(status.warehouse, Warehouse) and status.warehouse.differences:
        yield f"the last comparison {_compared(status.warehouse, now)}: scripts/reconcile.sh lists them"


def _counted(waiting: Sequence[Batch]) -> str:
    if len(waiting) == 1:
        return f"batch {waiting[0].seq} is not in the warehouse, and has"
    count = f"{MOST} batches or more" if len(waiting) == MOST else f"{len(waiting)} batches"
    return f"{count} up to batch {waiting[0].seq} are not in the warehouse, and have"


def _in_the_way(status: Status, now: datetime) -> str:
    """Say why the first waiting batch goes no further: the last run of the job that should handle it next."""
    first = status.waiting[-1]
    job = status.jobs.transform if first.seq > status.published else status.jobs.load
    run = next((run for run in job.runs if run.started_at > first.read_at), None)
    if run is None:
        return f"{job.name} has not run since: scripts/run.sh"
    if run.is_failed:
        return f"{job.name} {run.state}, {age(run.started_at, now)} ago: {run.reason}"
    if run.state == "SUCCEEDED":
        return f"{job.name} succeeded {age(run.started_at, now)} ago, so the warehouse has lost what it held: scripts/run.sh loads it again"
    return f"{job.name} is {run.state.lower()}, started {age(run.started_at, now)} ago"


def _compared(warehouse: Warehouse, now: datetime) -> str:
    if warehouse.compared_at is None:
        return "never"
    found = f"found {warehouse.differences:,} difference{'' if warehouse.differences == 1 else 's'}" if warehouse.differences else "agreed"
    return f"{found}, {age(warehouse.compared_at, now)} ago"


def show(console: Console, project: str, status: Status, now: datetime) -> None:
    """Prints what there is, good or bad."""
    rows = [
        ("version", f"{status.version}, deployed {age(status.deployed_at, now)} ago"),
        *((f"trigger {name}", "paused" if state == "DEACTIVATED" else state.lower()) for name, state in status.triggers.items()),
        *((f"last run of {job.name}", _said_of(job.runs[0], now)) for job in status.jobs if job.runs),
        ("source read", f"{age(status.read_at, now)} ago" if status.read_at else "never"),
        *_warehouse_rows(status, now),
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


def _warehouse_rows(status: Status, now: datetime) -> Iterator[tuple[str, str]]:
    unknown = "unknown" if status.loaded is None else "never loaded"
    warehouse = status.warehouse
    yield "warehouse is of", f"{age(status.fresh_to, now)} ago" if status.fresh_to else unknown
    waiting = f"{MOST} or more" if len(status.waiting) == MOST else f"{len(status.waiting)}"
    yield "batches waiting", "unknown" if status.loaded is None else waiting
    if isinstance(warehouse, NotAsked):
        yield "the warehouse itself", f"{NOT_ASKED}, so this is what AWS shows: {warehouse.reason}"
    else:
        yield "rows waiting for parents", f"{warehouse.waiting_rows:,}"
        yield "last comparison", _compared(warehouse, now)


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
