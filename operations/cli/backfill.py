"""`totesys backfill`: rebuild the lake and the warehouse from landed batches."""

from __future__ import annotations

import click
from rich.console import Console
from totesys.lake.manifests import PublishManifest
from totesys.runtime.run_request import RunRequest

from operations.aws import aws_session
from operations.cli.attempt import Attempt, attempted
from operations.cli.console import make_console, make_table
from operations.cli.options import any_table, examples
from operations.deployment.deployment import Deployment
from operations.lake import span
from operations.workflows.backfill import BackfillRun


@click.command(epilog=examples("scripts/totesys backfill", "scripts/totesys backfill --table fact_payment --from 12"))
@click.option("--table", type=any_table(), metavar="TABLE", help="Rebuild only this warehouse table, or what comes from this source table.")
@click.option("--from", "from_batch", type=click.IntRange(min=1), default=1, metavar="BATCH", help="Keep what earlier batches brought.")
@attempted("backfill")
def backfill(attempt: Attempt, table: str | None, from_batch: int) -> None:
    """Rebuild the lake from landed batches, and the warehouse from the lake.

    Both can be used during the rebuild. Facts get the same rows with new record ids.
    """
    console = make_console()
    session = aws_session()
    backfill = BackfillRun(session, Deployment.read(session), console)
    with backfill.display:
        run_id = backfill.start(RunRequest(backfill=True, backfill_table=table, backfill_from=from_batch))
        attempt.has_started = True
        backfill.finish(run_id)
    print_rebuilt(console, backfill.rebuilt())


def print_rebuilt(console: Console, publish: PublishManifest | None) -> None:
    """Print each table of the lake of which the publish rebuilt partitions, and the rows in them."""
    if publish is None:
        console.print("nothing was rebuilt: these batches had not been published before, and are loaded now")
        return
    rows, total = [], 0
    for database, tables in (("mirror", publish.mirror), ("star", publish.star)):
        for table, partitions in tables.items():
            made = [state.rows for state in partitions.values() if state.publish_seq == publish.seq]
            if made:
                rows.append([database, table, f"{len(made):,}", f"{sum(made):,}"])
                total += sum(made)
    console.print(make_table([("database", "left"), ("table", "left"), ("partitions", "right"), ("rows", "right")], rows))
    batches = span(publish.batches[0][0], publish.batches[-1][0])
    console.print(f"rebuilt from {batches}, and loaded: {total:,} rows in {len(rows)} tables")
