"""Record versions that repeat the version before them, in etl.reinserted_version. Without that table they would look loaded twice."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, Table, delete, insert, literal, select

from totesys.contracts import Contract
from totesys.load import outcome
from totesys.load.plan import LoadPlan
from totesys.warehouse.models import reinserted_version_table


def bring_in(connection: Connection, plan: LoadPlan, warehouse: Mapping[str, Contract], staged: Mapping[str, Table]) -> None:
    """Record the staged versions that repeat the version before them. They replace the records of the same batches, which a backfill
    brings in again."""
    reinserted = reinserted_version_table()
    for table, rows in plan.stars.items():
        contract = warehouse[table]
        if not contract.version_of:
            continue
        connection.execute(delete(reinserted).where(reinserted.c.fact_table == table, reinserted.c.batch_seq > rows.after))
        if table in staged:
            versions = staged[table].c
            repeats = select(literal(table), versions[contract.lake_key], versions.batch_seq).where(versions.is_reinserted)
            connection.execute(insert(reinserted).from_select(["fact_table", "key", "batch_seq"], repeats))
        outcome.check_reinserted(connection, table, rows.after, staged.get(table))
