"""Which moment of the source the warehouse shows, and when the two last agreed."""

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
from operations.reconcile.result import TableComparison


@dataclass(frozen=True)
class WarehouseMoment:
    """The moment of the source that the warehouse shows: a snapshot, and an earlier one for each table that is held.

    held  source table -> the time of its snapshot
    """

    batch_seq: int
    snapshot_at: datetime
    held: Mapping[str, datetime]


@dataclass(frozen=True)
class WarehouseState:
    """The warehouse as a comparison found it.

    looked_at          when the comparison read it
    through_batch_seq  the newest batch in it; 0: none
    agreed_at          when an earlier comparison last found no difference
    """

    looked_at: datetime
    through_batch_seq: int
    agreed_at: datetime | None


def read_warehouse_state(warehouse: Any) -> WarehouseState:
    """Read the state of the warehouse, in the transaction of the comparison."""
    ledger, records = (sql.Identifier(ETL_SCHEMA, table.name) for table in (ledger_table(), reconciliation_table()))
    # the newest load, not the highest batch: the load reads it in the same way
    newest = sql.SQL("SELECT through_batch_seq FROM {} ORDER BY load_seq DESC LIMIT 1").format(ledger)
    return WarehouseState(
        looked_at=scalar(warehouse, sql.SQL("SELECT now()")),
        through_batch_seq=scalar(warehouse, sql.SQL("SELECT coalesce(({}), 0)").format(newest)),
        agreed_at=scalar(warehouse, sql.SQL("SELECT max(reconciled_at) FROM {} WHERE differences = 0").format(records)),
    )


def record(warehouse: Any, state: WarehouseState, tables: list[TableComparison]) -> None:
    """Record the result of a comparison, in a transaction of another connection."""
    records = reconciliation_table()
    statement = sql.SQL("INSERT INTO {} (reconciled_at, through_batch_seq, tables, differences) VALUES (%s, %s, %s, %s)").format(
        sql.Identifier(ETL_SCHEMA, records.name)
    )
    differences = sum(table.differences for table in tables)
    with warehouse.cursor() as cursor:
        cursor.execute(statement, (state.looked_at, state.through_batch_seq, len(tables), differences))


def read_moment(ingestion: Bucket, through_batch_seq: int) -> WarehouseMoment | None:
    """Return the moment that a warehouse shows which holds the batches up to a number; None while it is empty.

    It is the snapshot of the last batch before the first pending one: a batch without rows is never loaded, and moves the moment on.
    """
    newest = newest_batch(ingestion)
    if newest is None or not through_batch_seq:
        return None
    pending = batches_after(ingestion, through_batch_seq)
    last = newest if not pending else read_batch(ingestion, pending[0].seq - 1)
    return WarehouseMoment(
        last.seq,
        datetime.fromisoformat(last.snapshot_at),
        {table: datetime.fromisoformat(capture.captured_at) for table, capture in last.tables.items() if table in last.held},
    )


def describe_moment(moment: WarehouseMoment | None, now: datetime) -> str:
    """Return the moment in one line, with its age."""
    if moment is None:
        return "the warehouse holds nothing of the source yet"
    line = f"the warehouse holds the source as of {describe(moment.snapshot_at, now)} (batch {moment.batch_seq})"
    return "; ".join([line, *(f"{table}, which is held, as of {describe(at, now)}" for table, at in moment.held.items())])


def describe_agreement(state: WarehouseState, agrees: bool) -> str:
    """Return in one line when the two last agreed, and whether they agree now."""
    before = describe(state.agreed_at, state.looked_at) if state.agreed_at else "never before"
    return f"last agreed: {'now; before that: ' if agrees else ''}{before}"


def describe(at: datetime, now: datetime) -> str:
    """Return a UTC moment, and how long ago it was."""
    # clocks differ a little: a past moment must not appear to be in the future
    age = format_timedelta(min(at - now, timedelta(seconds=-1)), add_direction=True, locale="en")
    return f"{at.astimezone(timezone.utc):%Y-%m-%d %H:%M:%S} UTC, {age}"
