"""The command behind scripts/reconcile.sh: says whether the warehouse is the source, where it is not, and since when.

Compares the current rows of the facts and all rows of the dimensions, each database read in one read-only snapshot.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError
from totesys.contracts import load_contracts
from totesys.errors import PipelineError
from totesys.lake.store import Bucket
from totesys.runtime.secrets import read_credentials
from totesys.warehouse.state import refuse_newer_warehouse

from operations.console import make_console, make_table
from operations.deployment import Deployment, aws_session, explain
from operations.reconcile.compare import compare_all
from operations.reconcile.databases import session_with, snapshot
from operations.reconcile.kept_out import read_kept_out
from operations.reconcile.moments import Held, Reconciliation, describe_agreement, describe_held, read_held, read_reconciliation, record
from operations.reconcile.result import Comparison


@dataclass(frozen=True)
class Outcome:
    """What was found, and of which moments it speaks."""

    comparisons: list[Comparison]
    held: Held | None
    reconciliation: Reconciliation

    @property
    def agrees(self) -> bool:
        return all(comparison.matches for comparison in self.comparisons)


def main(argv: Sequence[str]) -> int:
    """0: the warehouse matches; 1: it does not, and the differences are listed; 2: could not compare."""
    argparse.ArgumentParser(prog="scripts/reconcile.sh", description="Compares the warehouse with the source.").parse_args(argv)
    try:
        outcome = reconcile()
    except (PipelineError, BotoCoreError, ClientError) as error:
        print(f"reconcile: {error if isinstance(error, PipelineError) else explain(error)}", file=sys.stderr)
        return 2
    print_outcome(outcome)
    return 0 if outcome.agrees else 1


def reconcile() -> Outcome:
    """Compares every table, by the credentials that the pipeline itself uses, and writes down in the warehouse what came of it."""
    session = aws_session()
    deployment = Deployment.read(session)
    secrets = session.client("secretsmanager")
    of_source, of_warehouse = (read_credentials(secrets, secret) for secret in (deployment.source_secret, deployment.warehouse_secret))
    ingestion = Bucket(session.client("s3"), deployment.ingestion_bucket)
    kept_out = read_kept_out(ingestion)
    with snapshot(of_source, "source") as source, snapshot(of_warehouse, "warehouse") as warehouse:
        with warehouse.cursor() as cursor:
            refuse_newer_warehouse(cursor)
        comparisons = list(compare_all(load_contracts(), source, warehouse, kept_out))
        reconciliation = read_reconciliation(warehouse)
    held = read_held(ingestion, reconciliation.through_batch_seq)
    with session_with(of_warehouse, "warehouse") as writing, writing:
        record(writing, reconciliation, comparisons)
    return Outcome(comparisons, held, reconciliation)


def print_outcome(outcome: Outcome) -> None:
    """A line per table, then the differences, then the verdict, and the moments that it speaks of."""
    console = make_console()
    columns = [("table", "left"), ("source", "right"), ("warehouse", "right"), ("deleted at source", "right"), ("differences", "right")]
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
