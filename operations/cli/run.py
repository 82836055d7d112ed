"""`totesys run`: run one tick, and show it live."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click
from rich.console import Console
from totesys.runtime.run_request import RunRequest

from operations.aws import aws_session
from operations.cli.attempt import Attempt, attempted
from operations.cli.console import make_console, make_table, print_json
from operations.cli.options import examples, json_option, source_table
from operations.deployment.deployment import Deployment
from operations.lake import span
from operations.status.attention import Problem, of_run
from operations.workflows.tick import Tick, TickOutcome


@click.command(epilog=examples("scripts/totesys run", "scripts/totesys run --full", "scripts/totesys run --accept-deletes payment"))
@click.option("--full", is_flag=True, help="Read every table in full, not only what has changed.")
@click.option(
    "--accept-deletes",
    type=source_table(),
    multiple=True,
    metavar="TABLE",
    help="Accept that any number of rows of this source table are gone. Otherwise the table is held. Can be given again.",
)
@json_option
@attempted("run")
def run(attempt: Attempt, full: bool, accept_deletes: tuple[str, ...], as_json: bool) -> None:
    """Run one tick now: ingest and, if the warehouse lacks a batch, transform and load.

    Afterwards the warehouse has every change that was at the source before. If another run is in progress, the command waits for its end
    first. When a table is held or rows are kept out, the last lines say so, and the exit code is 0.

    \b
    With --json: {"loaded": {"first_batch", "through_batch", "rows_read": {TABLE: rows},
    "warehouse_rows": {TABLE: rows}} or null when nothing was new, "unknown": why the
    warehouse could not be asked or null, "needs_a_person": [{"what", "text"}]}
    """
    console = make_console(stderr=as_json)
    session = aws_session()
    tick = Tick(session, Deployment.read(session), console)
    with tick.display:
        run_id = tick.start_ingest(RunRequest(full=full, accept_deletes=frozenset(accept_deletes)))
        attempt.has_started = True
        outcome = tick.finish(run_id)
    unknown, problems = tick.unknown() if outcome is None else "", matters_of(tick, outcome)
    if as_json:
        print_json(outcome_as_json(outcome, unknown, problems))
    else:
        print_outcome(console, outcome, unknown)
        print_matters(console, problems)
    tell_matters("run", problems)


def matters_of(tick: Tick, outcome: TickOutcome | None) -> list[Problem]:
    """Return what needs a person after a tick."""
    return of_run(tick.held_tables(), tick.news(), outcome.misses if outcome else {})


def outcome_as_json(outcome: TickOutcome | None, unknown: str, problems: Sequence[Problem]) -> dict[str, object]:
    """Return the outcome of a tick, as the help of `run` says."""
    loaded = outcome and {
        "first_batch": outcome.first_batch,
        "through_batch": outcome.through_batch,
        "rows_read": {table: rows for table, rows in outcome.landed.items() if rows},
        "warehouse_rows": {table: rows for table, rows in outcome.loaded.items() if rows},
    }
    return {"loaded": loaded, "unknown": unknown or None, "needs_a_person": [vars(problem) for problem in problems]}


def print_outcome(console: Console, outcome: TickOutcome | None, unknown: str) -> None:
    """Print what was loaded, and the rows of each table that changed. `unknown`: why the warehouse could not be asked, or empty."""
    if outcome is None:
        known = "nothing new: the warehouse holds every batch"
        console.print(f"nothing new has landed; what the warehouse holds is not known from here: {unknown}" if unknown else known)
        return
    if rows := [[table, f"{count:,}"] for table, count in outcome.loaded.items() if count]:
        console.print(make_table([("warehouse table", "left"), ("new or changed rows", "right")], rows))
    batches = span(outcome.first_batch, outcome.through_batch)
    console.print(f"loaded {batches}: {outcome.landed.total():,} rows read, {outcome.loaded.total():,} warehouse rows new or changed")


def print_matters(console: Console, problems: Sequence[Problem]) -> None:
    """Print what needs a person."""
    for problem in problems:
        console.print(f"needs a person: {problem.text}", markup=False)


def tell_matters(command: str, problems: Sequence[Problem]) -> None:
    """Print on stderr what needs a person. The exit code is 0, and stdout may go to a file."""
    if problems:
        print(f"{command}: needs a person: {'; '.join(problem.what for problem in problems)}", file=sys.stderr)
