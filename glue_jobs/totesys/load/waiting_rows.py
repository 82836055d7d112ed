"""Fact versions that wait for their parents, in the tables etl.waiting_*. They go in with the first load that finds their parents.

A version also waits while an earlier version of its key waits, so that the latest version has the highest record id. Versions that have
gone in stay in these tables, with the load after which they went in: a backfill may have to let them wait again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    SelectBase,
    Table,
    and_,
    case,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy import insert as insert_into
from sqlalchemy.dialects.postgresql import array

from totesys.contracts import Contract, Contracts
from totesys.load import outcome
from totesys.load.plan import Loaded
from totesys.runtime.alerts import Alert
from totesys.warehouse.models import waiting_table


def bring_in(connection: Connection, contract: Contract, stars: Mapping[str, Table], staged: Table | None, base: Loaded) -> int:
    """Append the waiting and the staged rows that lack no parent, in the order of batch and key. Return how many went in.

    The record ids follow that order. All other rows wait. `base` is the load after which the rows go in.
    """
    waiting, fact = waiting_table(contract), stars[contract.table]
    still = update(waiting).where(waiting.c.went_in_after.is_(None))
    connection.execute(still.values(waits_for=_missing(contract, waiting, stars)))
    if staged is not None:
        missing = _missing(contract, staged, stars)
        _let_wait(connection, contract, staged, missing, func.cardinality(missing) > 0)
        is_behind = and_(~_is_known(contract, staged), _is_behind(contract, staged))
        _let_wait(connection, contract, staged, literal([], waiting.c.waits_for.type), is_behind)
    released = still.where(~_is_behind(contract, waiting)).values(went_in_after=base.load_seq).returning(*waiting.c).cte("released")
    rows = _entering(contract, staged, released).subquery()
    names = [column.name for column in contract.lake_columns]
    ordered = select(*(rows.c[name] for name in names)).order_by(rows.c.batch_seq, rows.c[contract.lake_key])
    rows_in = connection.execute(insert_into(fact).from_select(names, ordered).add_cte(released)).rowcount
    unsettled = or_(waiting.c.waits_for != _missing(contract, waiting, stars), ~_is_behind(contract, waiting))
    outcome.check_settled(connection, waiting, and_(waiting.c.went_in_after.is_(None), unsettled))
    return rows_in


def entered(contract: Contract, staged: Table, base: Loaded) -> Select[Any]:
    """Return the batch_seq of each row that a backfill brought in after its base."""
    waiting = waiting_table(contract)
    released = select(waiting).where(waiting.c.went_in_after == base.load_seq).subquery()
    return select(_entering(contract, staged, released).subquery().c.batch_seq)


def reset(connection: Connection, contract: Contract, base: Loaded) -> None:
    """Let the rows that waited after `base` wait again. Delete rows of later batches, which come from the lake again."""
    waiting = waiting_table(contract)
    connection.execute(delete(waiting).where(waiting.c.batch_seq > base.through_batch_seq))
    connection.execute(update(waiting).where(waiting.c.went_in_after >= base.load_seq).values(went_in_after=None))


def alert(connection: Connection, contract: Contract, after: int, through: int) -> Alert | None:
    """Return the alert for waiting rows of batches above `after`; None if there are none."""
    waiting = waiting_table(contract)
    new = [waiting.c.went_in_after.is_(None), waiting.c.batch_seq > after]
    rows = connection.scalar(select(func.count()).select_from(waiting).where(*new))
    if not rows:
        return None
    dimension = func.unnest(waiting.c.waits_for).label("dimension")
    counts = connection.execute(select(dimension, func.count()).where(*new).group_by(dimension).order_by(dimension))
    parents = ", ".join(f"{name} ({count})" for name, count in counts) or "an earlier version of the same key"
    return Alert(
        "rows wait for a parent", contract.table, through,
        f"{contract.table}: {rows} rows wait for parents that the warehouse lacks: {parents}. Nothing is lost: the rows go in by"
        f" themselves once the parents come. To see the rows: scripts/totesys deadletters list",
    )  # fmt: skip


def count_waiting(connection: Connection, contracts: Contracts) -> int:
    """Return how many rows of all facts wait now."""
    with connection.begin():
        return sum(count(connection, contract) for contract in contracts.facts.values())


def count(connection: Connection, contract: Contract) -> int:
    """Return how many rows of one fact wait now."""
    waiting = waiting_table(contract)
    return connection.scalar(select(func.count()).select_from(waiting).where(waiting.c.went_in_after.is_(None))) or 0


def _entering(contract: Contract, staged: Table | None, released: FromClause) -> SelectBase:
    """Return the rows that go in: the released rows, and the staged rows that do not wait."""
    names = [column.name for column in contract.file_columns]
    old = select(*(released.c[name] for name in names))
    if staged is None:
        return old
    return union_all(old, select(*(staged.c[name] for name in names)).where(~_is_known(contract, staged)))


def _let_wait(
    connection: Connection, contract: Contract, staged: Table, waits_for: ColumnElement[list[str]], which: ColumnElement[bool]
) -> None:
    names = [column.name for column in contract.file_columns]
    rows = select(*(staged.c[name] for name in names), waits_for).where(which)
    connection.execute(insert_into(waiting_table(contract)).from_select([*names, "waits_for"], rows))


def _missing(contract: Contract, rows: Table, stars: Mapping[str, Table]) -> ColumnElement[list[str]]:
    """Return the dimensions that lack a row's parents."""
    lacks: dict[str, list[ColumnElement[bool]]] = {}
    for column in contract.columns:
        if column.references:
            parent, reference = stars[column.references], rows.c[column.name]
            is_there = exists().where(parent.primary_key.columns[0] == reference)
            lacks.setdefault(column.references, []).append(and_(reference.is_not(None), ~is_there))
    names = array([case((or_(*some), dimension)) for dimension, some in lacks.items()])
    return func.array_remove(names, None)


def _is_known(contract: Contract, staged: Table) -> ColumnElement[bool]:
    waiting, key = waiting_table(contract), contract.lake_key
    return exists().where(waiting.c[key] == staged.c[key], waiting.c.batch_seq == staged.c.batch_seq)


def _is_behind(contract: Contract, rows: Table) -> ColumnElement[bool]:
    """Return whether the version, or an earlier version of its key, lacks a parent."""
    first, key = waiting_table(contract).alias("first"), contract.lake_key
    return exists().where(
        first.c.went_in_after.is_(None),
        func.cardinality(first.c.waits_for) > 0,
        first.c[key] == rows.c[key],
        first.c.batch_seq <= rows.c.batch_seq,
    )
