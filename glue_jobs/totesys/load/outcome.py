"""Check the tables at the end of a load's transaction. A trigger or rule may drop or change a row without making a statement fail.

Every check raises FatalError that names the table. Then nothing was loaded, and the next load brings the rows in.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, Table, and_, exists, func, or_, select, text, tuple_

from totesys.contracts import Contract
from totesys.errors import FatalError
from totesys.warehouse.models import reinserted_version_table, tombstone_table

_ACTORS = text("""
SELECT 'trigger ' || tgname || ' of ' || format('%I.%I', n.nspname, c.relname)
FROM pg_trigger JOIN pg_class AS c ON c.oid = tgrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE tgrelid IN (SELECT CAST(name AS regclass) FROM unnest(CAST(:tables AS text[])) AS name) AND NOT tgisinternal AND tgenabled <> 'D'
UNION ALL
SELECT 'rule ' || rulename || ' of ' || format('%I.%I', n.nspname, c.relname)
FROM pg_rewrite JOIN pg_class AS c ON c.oid = ev_class JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE ev_class IN (SELECT CAST(name AS regclass) FROM unnest(CAST(:tables AS text[])) AS name) AND ev_enabled <> 'D'
ORDER BY 1
""")


def check_appended(connection: Connection, fact: Table, waiting: Table, floor: int, expected: int) -> None:
    """Check that a fact has `expected` rows above the record id `floor`: those from staging and those that no longer wait."""
    key = fact.primary_key.columns[0]
    held = connection.scalar(select(func.count()).select_from(fact).where(key > floor))
    if held != expected:
        raise _refusal(connection, [fact, waiting], f"holds {held} of the {expected} rows that were appended, with ids above {floor}")


def check_merged(connection: Connection, contract: Contract, dimension: Table, staged: Table) -> None:
    """Check that a dimension has every staged row, with the staged values."""
    names = [column.name for column in contract.lake_columns]
    held, wanted = (tuple_(*(table.c[name] for name in names)) for table in (dimension, staged))
    is_there = exists().where(dimension.c[contract.key] == staged.c[contract.key], held.is_not_distinct_from(wanted))
    lacking = connection.scalar(select(func.count()).select_from(staged).where(~is_there))
    if lacking:
        raise _refusal(connection, [dimension], f"lacks {lacking} of the rows that were merged, or has other values in them")


def check_gone(connection: Connection, table: Table, *deleted: ColumnElement[bool]) -> None:
    """Check that a table has none of the rows that were deleted."""
    kept = connection.scalar(select(func.count()).select_from(table).where(*deleted))
    if kept:
        raise _refusal(connection, [table], f"still has {kept} rows that were deleted")


def check_settled(connection: Connection, waiting: Table, unsettled: ColumnElement[bool]) -> None:
    """Check that every waiting row still has to wait, and that it names exactly the parents that it lacks."""
    count = connection.scalar(select(func.count()).select_from(waiting).where(unsettled))
    if count:
        raise _refusal(connection, [waiting], f"has {count} rows that still differ from what the update should have made of them")


def check_tombstones(connection: Connection, rebuilt: Sequence[str], staged: Table | None) -> None:
    """Check that exactly the deleted ones of the staged keys have tombstones. Tables in `rebuilt` must have no further tombstones."""
    tombstone = tombstone_table()
    surplus: ColumnElement[bool] = tombstone.c.source_table.in_(rebuilt)
    if staged is not None:
        same = and_(tombstone.c.source_table == staged.c.source_table, tombstone.c.key == staged.c.key)
        has = exists().where(same, tombstone.c.batch_seq == staged.c.batch_seq)
        lacking = connection.scalar(select(func.count()).select_from(staged).where(staged.c.is_deleted, ~has))
        if lacking:
            raise _refusal(connection, [tombstone], f"lacks {lacking} of the keys that were found deleted")
        surplus = or_(and_(surplus, ~exists().where(same, staged.c.is_deleted)), exists().where(same, ~staged.c.is_deleted))
    check_gone(connection, tombstone, surplus)


def check_reinserted(connection: Connection, fact: str, after: int, staged: Table | None) -> None:
    """Check that exactly the staged versions that repeat the version before them are recorded, for batches after `after`."""
    reinserted = reinserted_version_table()
    noted = connection.scalar(select(func.count()).where(reinserted.c.fact_table == fact, reinserted.c.batch_seq > after))
    wanted = 0 if staged is None else connection.scalar(select(func.count()).where(staged.c.is_reinserted))
    if noted != wanted:
        raise _refusal(connection, [reinserted], f"has {noted} of {wanted} versions of {fact} that repeat the version before them")


def check_ledger(connection: Connection, ledger: Table, is_written: bool) -> None:
    """Raise unless the ledger holds what was written to it. The ledger decides what the next load brings in."""
    if not is_written:
        raise _refusal(connection, [ledger], "does not have what was written to it")


def _refusal(connection: Connection, tables: Sequence[Table], what: str) -> FatalError:
    actors = connection.scalars(_ACTORS, {"tables": [table.fullname for table in tables]}).all()
    found = f"Look at {', '.join(actors)}" if actors else "Look for a trigger, a rule or a default that does this"
    return FatalError(
        f"warehouse table {tables[0].fullname} {what}: something in the warehouse keeps rows out or changes them. Nothing was loaded."
        f" {found}; drop or disable it, and the next load brings everything in"
    )
