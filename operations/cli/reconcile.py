"""`totesys reconcile`: compare the warehouse with the source."""

from __future__ import annotations

import click

from operations.aws import aws_session
from operations.cli.attempt import Attempt, attempted
from operations.cli.console import Heading, make_console, make_table, print_json
from operations.cli.exit_codes import FAILED
from operations.cli.options import examples, json_option
from operations.deployment.deployment import Deployment
from operations.reconcile.comparison import Comparison, compare_databases
from operations.reconcile.moments import describe_agreement, describe_moment
from operations.reconcile.result import TableComparison


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
    comparison = compare_databases(session, Deployment.read(session))
    if as_json:
        print_json(comparison_as_json(comparison))
    else:
        print_comparison(comparison)
    if not comparison.agrees:
        attempt.exit_code = FAILED


def comparison_as_json(comparison: Comparison) -> dict[str, object]:
    """Return a comparison as the help says."""
    moment = comparison.moment
    return {
        "agrees": comparison.agrees,
        "tables": [
            {
                "table": table.table,
                "source_rows": table.source_rows,
                "warehouse_rows": table.warehouse_rows,
                "deleted_at_source": table.gone,
                "differences": table.differences,
                "kinds": table.counts,
                "listed": [
                    {"kind": found.kind, "key": found.key, "column": found.column, "detail": found.detail} for found in table.listed
                ],
            }
            for table in comparison.tables
        ],
        "holds": moment and {"batch_seq": moment.batch_seq, "snapshot_at": moment.snapshot_at, "held": moment.held},
        "looked_at": comparison.warehouse.looked_at,
        "last_agreed_at": comparison.warehouse.agreed_at,
    }


def print_comparison(comparison: Comparison) -> None:
    """Print a line per table, then the differences, the verdict, and the moments that it speaks of."""
    console = make_console()
    columns: list[Heading] = [
        ("table", "left"),
        ("source", "right"),
        ("warehouse", "right"),
        ("deleted at source", "right"),
        ("differences", "right"),
    ]
    console.print(make_table(columns, [_cells(table) for table in comparison.tables]))
    for table in comparison.tables:
        for difference in table.listed:
            console.print(f"  {difference}", markup=False)
        for kind, count in table.unlisted.items():
            console.print(f"  {table.table}: {count:,} more {kind}")
    matching = sum(table.matches for table in comparison.tables)
    verdict = "matches" if comparison.agrees else "does not match"
    console.print(f"warehouse {verdict} source: {matching} of {len(comparison.tables)} tables")
    console.print(describe_moment(comparison.moment, comparison.warehouse.looked_at))
    console.print(describe_agreement(comparison.warehouse, comparison.agrees))


def _cells(comparison: TableComparison) -> list[str]:
    uncounted = "held" if comparison.counts["held"] else "generated"
    source = uncounted if comparison.source_rows is None else f"{comparison.source_rows:,}"
    return [comparison.table, source, f"{comparison.warehouse_rows:,}", f"{comparison.gone:,}", f"{comparison.differences:,}"]
