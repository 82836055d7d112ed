"""`totesys status`: show a deployment, and what needs a person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timezone

import click
from rich.console import Console
from rich.text import Text

from operations.aws import aws_session
from operations.cli.attempt import Attempt, attempted
from operations.cli.console import make_console, make_table, print_json
from operations.cli.exit_codes import FAILED
from operations.cli.options import examples, json_option
from operations.deployment.deployment import Deployment
from operations.status.attention import Problem, compared, of_status
from operations.status.gather import MOST, NotAsked, Status, WarehouseStatus, gather
from operations.values import age
from operations.workflows.display import JobState

NOT_ASKED = "cannot be asked from here"


@click.command(epilog=examples("scripts/totesys status", "scripts/totesys status --json | jq .needs_a_person"))
@json_option
@attempted("status")
def status(attempt: Attempt, as_json: bool) -> None:
    """Show a deployment at a glance, and what needs a person. Changes nothing.

    Exits 0 when all is well, and 1 when something needs a person. If the warehouse cannot be reached, shows what AWS knows.

    \b
    With --json: {"project", "version", "deployed_at", "triggers": {NAME: state},
    "jobs": [{"job", "state", "started_at", "seconds", "error"}], "read_at",
    "published_seq", "loaded_seq", "fresh_to", "pending": [BATCH], "batches": [BATCH],
    "waiting_rows", "compared_at", "differences", "warehouse_unknown", "held": {TABLE:
    {"since", "reason", "cure"}}, "dead_letters": {TABLE: rows}, "alarms": [name],
    "needs_a_person": [{"what", "text"}]}, where BATCH is {"seq", "read_at", "rows",
    "stage"} and what is not known is null
    """
    session = aws_session()
    deployment = Deployment.read(session)
    found, now = gather(session, deployment), datetime.now(timezone.utc)
    problems = list(of_status(found, deployment.project, now))
    if as_json:
        print_json(status_as_json(deployment.project, found, problems))
    else:
        show(make_console(), deployment.project, found, now)
        print_verdict(found, problems)
    if problems:
        attempt.exit_code = FAILED


def print_verdict(found: Status, problems: Sequence[Problem]) -> None:
    """Print what needs a person, or that all is well."""
    for problem in problems:
        print(f"needs a person: {problem.text}")
    if not problems:
        limits = "" if isinstance(found.warehouse, WarehouseStatus) else f", as far as AWS shows: the warehouse {NOT_ASKED}"
        print(f"all is well{limits}")


def status_as_json(project: str, found: Status, problems: Sequence[Problem]) -> dict[str, object]:
    """Return a status as the help says."""
    asked = found.warehouse if isinstance(found.warehouse, WarehouseStatus) else None
    return {
        "project": project,
        "version": found.version,
        "deployed_at": found.deployed_at,
        "triggers": found.triggers,
        "jobs": [
            {"job": job.name, "state": run.state, "started_at": run.started_at, "seconds": run.seconds, "error": run.error or None}
            for job in found.jobs
            for run in job.runs[:1]
        ],
        "read_at": found.read_at,
        "published_seq": found.published,
        "loaded_seq": found.loaded,
        "fresh_to": found.fresh_to,
        "pending": None if found.loaded is None else [vars(batch) for batch in found.pending],
        "batches": [vars(batch) for batch in found.batches],
        "waiting_rows": asked and asked.waiting_rows,
        "compared_at": asked and asked.compared_at,
        "differences": asked and asked.differences,
        "warehouse_unknown": found.warehouse.reason if isinstance(found.warehouse, NotAsked) else None,
        "held": {table: {"since": why.since, "reason": why.reason, "cure": why.cure} for table, why in found.held.items()},
        "dead_letters": found.dead,
        "alarms": found.alarms,
        "needs_a_person": [vars(problem) for problem in problems],
    }


def show(console: Console, project: str, status: Status, now: datetime) -> None:
    """Print the status as two tables."""
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
    pending = f"{MOST} or more" if len(status.pending) == MOST else f"{len(status.pending)}"
    yield "pending batches", "unknown" if status.loaded is None else pending
    if isinstance(warehouse, NotAsked):
        yield "the warehouse itself", f"{NOT_ASKED}, so this is what AWS shows: {warehouse.reason}"
    else:
        yield "rows waiting for parents", f"{warehouse.waiting_rows:,}"
        yield "last comparison", compared(warehouse, now)


def _said_of(run: JobState, now: datetime) -> str:
    said = f"{run.state.lower()}, started {age(run.started_at, now)} ago"
    return f"{said}: {run.reason}" if run.is_failed else said
