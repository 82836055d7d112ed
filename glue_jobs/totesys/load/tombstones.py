"""Tombstones in the warehouse, etl.tombstone: keys deleted at the source, whose rows the warehouse keeps."""

from __future__ import annotations

import logging

from sqlalchemy import Connection, Table, delete, select
from sqlalchemy.dialects.postgresql import insert

from totesys.load import outcome
from totesys.load.plan import LoadPlan
from totesys.warehouse.models import tombstone_table

_log = logging.getLogger(__name__)


def tombstoned(connection: Connection) -> frozenset[str]:
    """The source tables that have tombstones."""
    return frozenset(connection.scalars(select(tombstone_table().c.source_table).distinct()))


def bring_in(connection: Connection, plan: LoadPlan, staged: Table | None) -> None:
    """Makes the tombstones what the plan's mirrors say; `staged` holds keys and their state, or is None when no mirror had to be read."""
    tombstone = tombstone_table()
    anew = [table for table in plan.mirrors if plan.is_anew(table)]
    if anew:
        connection.execute(delete(tombstone).where(tombstone.c.source_table.in_(anew)))
    if staged is not None:
        _apply(connection, staged)
    outcome.check_tombstones(connection, anew, staged)


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
    _log.info("tombstones: %d set, %d ended", made, connection.execute(revived).rowcount)
