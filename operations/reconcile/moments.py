"""Of which moment of the source the warehouse is, and when the two last agreed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from babel.dates import format_timedelta
from psycopg2 import sql
from totesys.lake.manifests import batches_after, newest_batch, read_batch
from totesys.lake.store import Bucket
from totesys.warehouse.models import ETL_SCHEMA, ledger_table, reconciliation_table

from operations.reconcile.cursors import scalar
from operations.reconcile.result import Comparison


@dataclass(frozen=True)
class WarehouseMoment:
    """What the warehouse holds of the source: everything up to a snapshot, but less of tables that are held.

    held_back  source table -> the snapshot that it is of
    """

    batch_seq: int
    snapshot_at: datetime
    held_back: Mapping[str, datetime]


@dataclass(frozen=True)
class Reconciliation:
    """The warehouse as a comparison found it: when it looked, the newest batch in it (0: none), and when the two were last found equal."""

    looked_at: datetime
    through_batch_seq: int
    agreed_at: datetime | None


def read_reconciliation(warehouse: Any) -> Reconciliation:
    """What the warehouse says of itself, in the transaction of the comparison."""
    ledger, records = (sql.Identifier(ETL_SCHEMA, table.name) for table in (ledger_table(), reconciliation_table()))
    # The newest load, not the highest batch: so the load itself reads it.
    newest = sql.SQL("SELECT through_batch_seq FROM {} ORDER BY load_seq DESC LIMIT 1").format(ledger)
    return Reconciliation(
        looked_at=scalar(warehouse, sql.SQL("SELECT now()")),
        through_batch_seq=scalar(warehouse, sql.SQL("SELECT coalesce(({}), 0)").format(newest)),
        agreed_at=scalar(warehouse, sql.SQL("SELECT max(reconciled_at) FROM {} WHERE differences = 0").format(records)),
    )


def record(warehouse: Any, reconciliation: Reconciliation, comparisons: list[Comparison]) -> None:
    """Writes down what was found, in the transaction of a connection of its own."""
    table = reconciliation_table()
    statement = sql.SQL("INSERT INTO {} (reconciled_at, through_batch_seq, tables, differences) VALUES (%s, %s, %s, %s)").format(
        sql.Identifier(ETL_SCHEMA, table.name)
    )
    differences = sum(comparison.differences for comparison in comparisons)
    with warehouse.cursor() as cursor:
        cursor.execute(statement, (reconciliation.looked_at, reconciliation.through_batch_seq, len(comparisons), differences))


def read_held(ingestion: Bucket, through_batch_seq: int) -> WarehouseMoment | None:
    """Of which snapshot a warehouse is that holds batches up to a number; None while there is nothing in it.

    Batches without rows move the moment on, though nothing of them is ever loaded: it is the last batch before the first that waits.
    """
    newest = newest_batch(ingestion)
    if newest is None or not through_batch_seq:
        return None
    waiting = batches_after(ingestion, through_batch_seq)
    last = newest if not waiting else read_batch(ingestion, waiting[0].seq - 1)
    return WarehouseMoment(
        last.seq,
        datetime.fromisoformat(last.snapshot_at),
        {table: datetime.fromisoformat(capture.captured_at) for table, capture in last.tables.items() if table in last.held},
    )


def describe_held(held: WarehouseMoment | None, now: datetime) -> str:
    """The moment in one line, and its age."""
    if held is None:
        return "the warehouse holds nothing of the source yet"
    line = f"the warehouse holds the source as of {describe(held.snapshot_at, now)} (batch {held.batch_seq})"
    return "; ".join([line, *(f"{table}, which is held, as of {describe(at, now)}" for table, at in held.held_back.items())])


def describe_agreement(reconciliation: Reconciliation, agrees: bool) -> str:
    """When the two last agreed, in one line: before now, and now if they do."""
    before = describe(reconciliation.agreed_at, reconciliation.looked_at) if reconciliation.agreed_at else "never before"
    return f"last agreed: {'now; before that: ' if agrees else ''}{before}"


def describe(moment: datetime, now: datetime) -> str:
    """A UTC moment and how long ago it was."""
    # Clocks differ a little: what has been was at least a second ago.
    age = format_timedelta(min(moment - now, timedelta(seconds=-1)), add_direction=True, locale="en")
    return f"{moment.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC, {age}"
