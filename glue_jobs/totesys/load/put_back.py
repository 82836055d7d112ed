"""Versions that repeat the one before them, etl.put_back: without it nobody could tell them from rows that were loaded twice."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, Table, delete, insert, literal, select

from totesys.contracts import Contract
from totesys.load import outcome
from totesys.load.plan import LoadPlan
from totesys.warehouse.models import put_back_table


def bring_in(connection: Connection, plan: LoadPlan, warehouse: Mapping[str, Contract], staged: Mapping[str, Table]) -> None:
    """Notes the staged versions that repeat the one before them, in place of what is noted of the same batches: a backfill's rows are
    known already."""
    put_back = put_back_table()
    for table, rows in plan.stars.items():
        contract = warehouse[table]
        if not contract.version_of:
            continue
        connection.execute(delete(put_back).where(put_back.c.fact_table == table, put_back.c.batch_seq > rows.after))
        if table in staged:
            versions = staged[table].c
            repeats = select(literal(table), versions[contract.lake_key], versions.batch_seq).where(versions.is_put_back)
            connection.execute(insert(put_back).from_select(["fact_table", "key", "batch_seq"], repeats))
        outcome.check_put_back(connection, table, rows.after, staged.get(table))
