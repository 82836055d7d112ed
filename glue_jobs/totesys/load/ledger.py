"""Read and write the ledger, etl.load_ledger: the loads that the warehouse holds. Each load's transaction writes the load's own row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from sqlalchemy import Connection, Select, Table, delete, func, literal, null, select, text, union_all, update

from totesys.contracts import Contract
from totesys.load import outcome
from totesys.load.plan import Loaded, LoadPlan
from totesys.load.waiting_rows import entered
from totesys.warehouse.models import ledger_table


def lock(connection: Connection) -> None:
    """Lock the ledger until the commit, so that loads run one at a time from here. Readers of the ledger do not wait."""
    connection.execute(text(f"LOCK TABLE {ledger_table().fullname} IN EXCLUSIVE MODE"))


def newest(connection: Connection) -> Loaded:
    """Return the newest load."""
    return _first(connection, _newest_first(ledger_table()))


def newest_below(connection: Connection, batch_seq: int) -> Loaded:
    """Return the newest load that contains only batches before this batch; the empty `Loaded` if there is none."""
    ledger = ledger_table()
    return _first(connection, _newest_first(ledger).where(ledger.c.through_batch_seq < batch_seq))


def append(connection: Connection, plan: LoadPlan, changed: Mapping[str, int], facts: Mapping[str, Table]) -> None:
    """Write the plan's load as the newest. Its number is higher than every number that was ever used."""
    last_record_ids = {
        name: connection.scalar(select(func.coalesce(func.max(fact.primary_key.columns[0]), 0))) for name, fact in facts.items()
    }
    connection.execute(
        ledger_table().insert().values(
            load_seq=plan.loaded.load_seq + 1,
            publish_seq=plan.publish.seq, publish_id=plan.publish.publish_id, lake_id=plan.publish.lake_id,
            first_batch_seq=plan.after_batch_seq + 1, through_batch_seq=plan.publish.through_batch_seq, rows=dict(changed),
            last_record_ids=last_record_ids,
        )
    )  # fmt: skip
    written = newest(connection)
    through, ids = plan.publish.through_batch_seq, written.last_record_ids
    is_written = (written.load_seq, written.through_batch_seq, ids) == (plan.loaded.load_seq + 1, through, last_record_ids)
    outcome.check_ledger(connection, ledger_table(), is_written)


def forget_after(connection: Connection, base: Loaded) -> None:
    """Delete every load after `base`."""
    ledger = ledger_table()
    connection.execute(delete(ledger).where(ledger.c.load_seq > base.load_seq))
    outcome.check_gone(connection, ledger, ledger.c.load_seq > base.load_seq)


def move_boundaries(connection: Connection, contract: Contract, fact: Table, staged: Table, base: Loaded) -> None:
    """Write, for each load after `base`, the highest record id that its rows of a fact have now, after a backfill has replaced the rows.

    The sequence gives ids in the order of batches, with possible gaps: the nth row by batch has the nth id.
    """
    ledger, record_id = ledger_table(), fact.c[contract.key]
    before = base.last_record_ids.get(contract.table, 0)
    ids = select(record_id.label("id"), func.row_number().over(order_by=record_id).label("nth")).where(record_id > before).subquery()
    rows = entered(contract, staged, base).subquery()
    through = func.sum(func.count()).over(order_by=rows.c.batch_seq)
    batches = select(rows.c.batch_seq, through.label("nth")).group_by(rows.c.batch_seq).subquery()
    ends = select(batches.c.batch_seq, ids.c.id, null().label("load_seq")).join(ids, ids.c.nth == batches.c.nth)
    loads = select(ledger.c.through_batch_seq, literal(before), ledger.c.load_seq).where(ledger.c.load_seq > base.load_seq)
    # A load ends where its last batch ends: a running maximum over batches and loads, in one pass.
    both = union_all(ends, loads).subquery()
    running = select(both.c.load_seq, func.max(both.c.id).over(order_by=both.c.batch_seq).label("id")).subquery()
    moved = connection.execute(
        update(ledger)
        .where(ledger.c.load_seq == running.c.load_seq)
        .values(last_record_ids=ledger.c.last_record_ids.op("||")(func.jsonb_build_object(contract.table, running.c.id)))
    )
    after = connection.scalar(select(func.count()).select_from(ledger).where(ledger.c.load_seq > base.load_seq))
    outcome.check_ledger(connection, ledger, moved.rowcount == after)


def _newest_first(ledger: Table) -> Select[Any]:
    return select(*(ledger.c[column.name] for column in fields(Loaded))).order_by(ledger.c.load_seq.desc()).limit(1)


def _first(connection: Connection, loads: Select[Any]) -> Loaded:
    row = connection.execute(loads).first()
    return Loaded(*row) if row else Loaded()
