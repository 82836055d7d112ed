"""The command behind scripts/reconcile.sh: says whether the warehouse is the source, and where it is not.

Compares the current rows of the facts and all rows of the dimensions, each database read in one read-only snapshot.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg2
from botocore.exceptions import BotoCoreError, ClientError
from totesys.contracts import load_contracts
from totesys.errors import FatalError, PipelineError, RetriableError
from totesys.secrets import Credentials, read_credentials

from operations import query
from operations.console import make_console, make_table
from operations.deployment import Deployment, aws_session, explain
from operations.reconcile.compare import compare_all
from operations.reconcile.result import Comparison


def main(argv: Sequence[str]) -> int:
    """0: the warehouse matches; 1: it does not, and the differences are listed; 2: could not compare."""
    argparse.ArgumentParser(prog="scripts/reconcile.sh", description="Compares the warehouse with the source.").parse_args(argv)
    try:
        comparisons = reconcile()
    except (PipelineError, BotoCoreError, ClientError) as error:
        print(f"reconcile: {error if isinstance(error, PipelineError) else explain(error)}", file=sys.stderr)
        return 2
    print_comparisons(comparisons)
    return 0 if all(comparison.matches for comparison in comparisons) else 1


def reconcile() -> list[Comparison]:
    """Every table's comparison, by the credentials that the pipeline itself uses."""
    session = aws_session()
    deployment = Deployment.read(session)
    secrets, athena = session.client("secretsmanager"), session.client("athena")
    contracts = load_contracts()

    def tombstones(table: str) -> Iterator[int]:
        # Athena takes no parameters for names; these are a contract's.
        key = contracts.source[table].key
        statement = f'SELECT {key} FROM "{table}" WHERE is_deleted'  # nosec B608
        for (value,) in query.ask(athena, deployment, statement, deployment.current_database).rows:
            yield int(value or 0)

    with (
        snapshot(read_credentials(secrets, deployment.source_secret), "source") as source,
        snapshot(read_credentials(secrets, deployment.warehouse_secret), "warehouse") as warehouse,
    ):
        return list(compare_all(contracts, source, warehouse, tombstones))


@contextmanager
def snapshot(credentials: Credentials, name: str) -> Iterator[Any]:
    """A connection in a read-only transaction that sees one moment. RetriableError: unreachable; FatalError: it refused a query."""
    try:
        connection = psycopg2.connect(**credentials.libpq(), application_name="totesys reconcile", options="-c TimeZone=UTC")
    except psycopg2.OperationalError as error:
        raise RetriableError(f"{name} {credentials.place} cannot be reached: {' '.join(str(error).split())}") from error
    try:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        yield connection
    except psycopg2.Error as error:
        if error.cursor is None or error.cursor.connection is not connection:
            raise  # it is the other database's
        hint = "has scripts/run.sh run?" if isinstance(error, psycopg2.errors.UndefinedTable) else "check the rights of its role"
        reason = error.diag.message_primary or " ".join(str(error).split())
        raise FatalError(f"{name} {credentials.place} could not be compared ({reason}): {hint}") from error
    finally:
        connection.close()


def print_comparisons(comparisons: list[Comparison]) -> None:
    """A line per table, then the differences, then the verdict."""
    console = make_console()
    columns = [("table", "left"), ("source", "right"), ("warehouse", "right"), ("deleted at source", "right"), ("differences", "right")]
    console.print(make_table(columns, [_cells(comparison) for comparison in comparisons]))
    for comparison in comparisons:
        for difference in comparison.listed:
            console.print(f"  {difference}", markup=False)
        if unlisted := comparison.differences - len(comparison.listed):
            console.print(f"  {comparison.table}: {unlisted:,} more")
    matching = sum(comparison.matches for comparison in comparisons)
    verdict = "matches" if matching == len(comparisons) else "does not match"
    console.print(f"warehouse {verdict} source: {matching} of {len(comparisons)} tables")


def _cells(comparison: Comparison) -> list[str]:
    source = "generated" if comparison.source_rows is None else f"{comparison.source_rows:,}"
    return [comparison.table, source, f"{comparison.warehouse_rows:,}", f"{comparison.gone:,}", f"{comparison.differences:,}"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
