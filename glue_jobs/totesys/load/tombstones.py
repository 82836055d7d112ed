"""Maintain the tombstones in the warehouse, etl.tombstone: keys deleted at the source, whose rows the warehouse keeps."""

from __future__ import annotations

import logging

from sqlalchemy import Connection, Table, delete, select
from sqlalchemy.dialects.postgresql import insert

from totesys.load import outcome
from totesys.load.plan import LoadPlan
from totesys.warehouse.models import tombstone_table

_log = logging.getLogger(__name__)


def tombstoned(connection: Connection) -> frozenset[str]:
    """Return the source tables that have tombstones."""
    return frozenset(connection.scalars(select(tombstone_table().c.source_table).distinct()))


def bring_in(connection: Connection, plan: LoadPlan, staged: Table | None) -> None:
    """Make the tombstones match the plan's mirrors. `staged` holds keys and their state; None if no mirror had to be read."""
    tombstone = tombstone_table()
    rebuilt = [table for table in plan.mirrors if plan.is_rebuilt(table)]
    if rebuilt:
        connection.execute(delete(tombstone).where(tombstone.c.source_table.in_(rebuilt)))
    if staged is not None:
        _apply(connection, staged)
    outcome.check_tombstones(connection, rebuilt, staged)


def _apply(connection: Connection, staged: Table) -> None:
    tombstone = tombstone_table()
    names = [column.name for column in tombstone.columns]
    rows = insert(tombstone).from_select(names, select(*(staged.c[name] for name in names)).where(staged.c.is_deleted))
    made = connection.execute(
        rows.on_conflict_do_update(index_elements=tombstone.primary_key, set_={"batch_seq": rows.excluded.batch_seq})
    ).rowcount
    revived = delete(tombstone).where(
        tombstone.c.source_table == staged.c.source_table, tombstone.c.key == staged.c.key, ~staged.c.is_deleted
    )
    _log.info("tombstones: %d added, %d removed", made, connection.execute(revived).rowcount)
