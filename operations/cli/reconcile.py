"""`totesys reconcile`: whether the warehouse is the source, and where it is not."""

from __future__ import annotations

import click

from operations.aws import aws_session
from operations.cli.attempt import Attempt, attempted
from operations.cli.console import Heading, make_console, make_table, print_json
from operations.cli.exit_codes import FAILED
from operations.cli.options import examples, json_option
from operations.deployment.deployment import Deployment
from operations.reconcile.moments import describe_agreement, describe_held
from operations.reconcile.reconcile import ReconcileOutcome, reconcile_databases
from operations.reconcile.result import Comparison


@click.command(epilog=examples("scripts/totesys reconcile", "scripts/totesys reconcile --json | jq '.tables[] | select(.differences > 0)'"))
@json_option
@attempted("reconcile")
def reconcile(attempt: Attempt, as_json: bool) -> None:
    """Compare the warehouse with the source: structure, keys, current rows.

    Exits 0 when they agree, 1 when they differ, and lists the differences. Reads both databases; writes only the outcome, into
    etl.reconciliation of the warehouse, from which `totesys status` shows it.

    \b
    With --json: {"agrees", "tables": [{"table", "source_rows", "warehouse_rows",
    "deleted_at_source", "differences", "kinds": {KIND: count}, "listed": [{"kind",
    "key", "column", "detail"}]}], "holds": {"batch_seq", "snapshot_at", "held": {TABLE:
    time}} or null, "looked_at", "last_agreed_at": before now, or null}
    """
    session = aws_session()
    outcome = reconcile_databases(session, Deployment.read(session))
    if as_json:
        print_json(outcome_as_json(outcome))
    else:
        print_outcome(outcome)
    if not outcome.agrees:
        attempt.exit_code = FAILED


def outcome_as_json(outcome: ReconcileOutcome) -> dict[str, object]:
    """Return an outcome as the help says."""
    held = outcome.held
    return {
        "agrees": outcome.agrees,
        "tables": [
            {
                "table": comparison.table,
                "source_rows": comparison.source_rows,
                "warehouse_rows": comparison.warehouse_rows,
                "deleted_at_source": comparison.gone,
                "differences": comparison.differences,
                "kinds": comparison.counts,
                "listed": [
                    {"kind": found.kind, "key": found.key, "column": found.column, "detail": found.detail} for found in comparison.listed
                ],
            }
            for comparison in outcome.comparisons
        ],
        "holds": held and {"batch_seq": held.batch_seq, "snapshot_at": held.snapshot_at, "held": held.held_back},
        "looked_at": outcome.reconciliation.looked_at,
        "last_agreed_at": outcome.reconciliation.agreed_at,
    }


def print_outcome(outcome: ReconcileOutcome) -> None:
    """A line per table, then the differences, then the verdict, and the moments that it speaks of."""
    console = make_console()
    columns: list[Heading] = [
        ("table", "left"),
        ("source", "right"),
        ("warehouse", "right"),
        ("deleted at source", "right"),
        ("differences", "right"),
    ]
    console.print(make_table(columns, [_cells(comparison) for comparison in outcome.comparisons]))
    for comparison in outcome.comparisons:
        for difference in comparison.listed:
            console.print(f"  {difference}", markup=False)
        for kind, count in comparison.unlisted.items():
            console.print(f"  {comparison.table}: {count:,} more {kind}")
    matching = sum(comparison.matches for comparison in outcome.comparisons)
    verdict = "matches" if outcome.agrees else "does not match"
    console.print(f"warehouse {verdict} source: {matching} of {len(outcome.comparisons)} tables")
    console.print(describe_held(outcome.held, outcome.reconciliation.looked_at))
    console.print(describe_agreement(outcome.reconciliation, outcome.agrees))


def _cells(comparison: Comparison) -> list[str]:
    uncounted = "held" if comparison.counts["held"] else "generated"
    source = uncounted if comparison.source_rows is None else f"{comparison.source_rows:,}"
    return [comparison.table, source, f"{comparison.warehouse_rows:,}", f"{comparison.gone:,}", f"{comparison.differences:,}"]
