"""Everything that needs a person, in the words that all commands use.

`run` says what its own batches found, and `status` how things are now. The alerts of ingest get their words in totesys/ingest/job.py,
and `run` repeats them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from totesys.errors import RetriableError
from totesys.lake.manifests import Held
from totesys.runtime.alerts import Alert

from operations.status.gather import MOST, ON_EVENT, Batch, Job, NotAsked, Status, WarehouseStatus
from operations.values import age, counted
from operations.workflows.trigger import PAUSED, schedule_trigger

FRESHNESS = timedelta(minutes=30)  # how old a change may get before the warehouse has it
PENDING = timedelta(minutes=10)  # how long a batch may be pending: two ticks of the schedule, after which it has been announced again


@dataclass(frozen=True)
class Problem:
    """Something that needs a person. `what` says it in a few words; `text` says it in full, with what to do."""

    what: str
    text: str


def of_run(tables_held: Mapping[str, Held], news: Sequence[Alert], misses: Mapping[str, int]) -> list[Problem]:
    """Return the tables that are held, the other alerts of the run's batches, and the rows that deltas have missed."""
    return [
        *(held(table, why) for table, why in sorted(tables_held.items())),
        *(Problem(f"{alert.table}: {alert.kind}", alert.text) for alert in news if alert.kind != "table held"),
        *(missed(table, rows) for table, rows in sorted(misses.items())),
    ]


def held(table: str, why: Held) -> Problem:
    """A table that is held. Nothing of it is lost, because its capture point stays."""
    return Problem(f"{table} is held", f"{table} is {held_since(why)}. Nothing of it is lost. What to do: {why.cure}")


def held_since(why: Held) -> str:
    """Say since when a table is held, and why."""
    return f"held since {why.since}: {why.reason}"


def dead_letters(table: str, rows: int) -> Problem:
    """Rows of a table in the dead letter, which nobody has discarded."""
    return Problem(f"{table}: dead letters", f"{table} has {counted(rows)} in the dead letter: {put_right(table)}")


def put_right(table: str) -> str:
    """Say what settles dead letters."""
    return f"correct them at the source: scripts/totesys deadletters show {table}"


def missed(table: str, rows: int) -> Problem:
    """Rows that a full read found and a delta should have found. That is a fault of the pipeline."""
    what = f"a full read found {counted(rows)} of {table} that no delta had found"
    return Problem(what, f"{what}: they are in now; report it")


def of_status(status: Status, project: str, now: datetime) -> Iterator[Problem]:
    """Yield what is wrong with a deployment, and what to do about it."""
    for name, state in status.triggers.items():
        if name == schedule_trigger(project) and state in ("DEACTIVATED", "DEACTIVATING"):
            yield Problem("the schedule is paused", f"the schedule is {PAUSED}")
        elif state not in ("ACTIVATED", "ACTIVATING", ON_EVENT):
            yield Problem(f"trigger {name} is {state}", f"trigger {name} is {state}: scripts/deploy.sh activates it")
    for job in status.jobs:
        yield from _failures(job, job is status.jobs.load, now)
    yield from _of_the_warehouse(status, now)
    for table, why in sorted(status.held.items()):
        yield held(table, why)
    for table, letters in sorted(status.dead.items()):
        yield dead_letters(table, letters)
    for alarm in status.alarms:
        yield Problem(f"alarm {alarm}", f"alarm {alarm} rings")


def _failures(job: Job, is_load: bool, now: datetime) -> Iterator[Problem]:
    """Yield the job's last failure, unless it is a single retriable failure: then the next run may succeed.

    A failed load is always yielded: until the next load succeeds, the warehouse lacks what has landed."""
    failures = job.failures
    if not failures:
        return
    run = failures[0]
    is_retriable = f"{RetriableError.__name__}: " in run.error  # Glue puts words of its own before a job's line
    if len(failures) > 1 or is_load or not is_retriable:
        repeated = f", as in each of its last {len(failures)} runs" if len(failures) > 1 else ""
        yield Problem(f"{job.name} {run.state}", f"{job.name} {run.state}, {age(run.started_at, now)} ago{repeated}: {run.reason}")


def _of_the_warehouse(status: Status, now: datetime) -> Iterator[Problem]:
    """Yield pending batches, differences from the source, and why the warehouse refuses to answer."""
    if isinstance(status.warehouse, NotAsked) and status.warehouse.is_refused:
        yield Problem("the warehouse refuses", f"nobody can ask the warehouse what it holds: {status.warehouse.reason}")
    if status.loaded is not None and status.loaded > status.landed:
        yield Problem(
            "the warehouse and the lake do not belong together",
            f"the warehouse holds batch {status.loaded}, but the newest with rows in the ingestion bucket is batch {status.landed}:"
            " either its secret names the warehouse of another lake, or the bucket has lost batches",
        )
    elif status.loaded == 0:
        yield Problem("nothing is loaded", "nothing has been loaded yet: scripts/totesys run")
    if status.pending and now - status.pending[-1].read_at > PENDING:
        what = f"{_batches(status.pending)} pending for {age(status.pending[-1].read_at, now)}"
        yield Problem("batches are pending", f"{what}: {_in_the_way(status, now)}")
    elif status.fresh_to and now - status.fresh_to > FRESHNESS:
        yield Problem("the warehouse is old", f"the warehouse is {age(status.fresh_to, now)} old: scripts/totesys run shows what fails")
    if isinstance(status.warehouse, WarehouseStatus) and status.warehouse.differences:
        yield Problem(
            "the warehouse differs from the source",
            f"the last comparison {compared(status.warehouse, now)}: scripts/totesys reconcile lists them",
        )


def _batches(pending: Sequence[Batch]) -> str:
    if len(pending) == 1:
        return f"batch {pending[0].seq} has been"
    count = f"{MOST} batches or more" if len(pending) == MOST else f"{len(pending)} batches"
    return f"{count} up to batch {pending[0].seq} have been"


def _in_the_way(status: Status, now: datetime) -> str:
    """Say why the first pending batch goes no further: the last run of the job that should handle it next."""
    first = status.pending[-1]
    job = status.jobs.transform if first.seq > status.published else status.jobs.load
    run = next((run for run in job.runs if run.started_at > first.read_at), None)
    if run is None:
        return f"{job.name} has not run since: scripts/totesys run"
    if run.is_failed:
        return f"{job.name} {run.state}, {age(run.started_at, now)} ago: {run.reason}"
    if run.state == "SUCCEEDED":
        since = f"{job.name} succeeded {age(run.started_at, now)} ago"
        return f"{since}, so the warehouse has lost what it held: scripts/totesys run loads it again"
    return f"{job.name} is {run.state.lower()}, started {age(run.started_at, now)} ago"


def compared(warehouse: WarehouseStatus, now: datetime) -> str:
    """Say what the last comparison of the warehouse with the source found, and when that was."""
    if warehouse.compared_at is None:
        return "never"
    found = f"found {warehouse.differences:,} difference{'' if warehouse.differences == 1 else 's'}" if warehouse.differences else "agreed"
    return f"{found}, {age(warehouse.compared_at, now)} ago"
