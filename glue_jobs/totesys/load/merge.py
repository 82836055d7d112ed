"""The transaction that makes a load: staged rows checked, dimensions merged, facts appended, the ledger written, staging dropped."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from sqlalchemy import Connection, Select, Table, exists, func, select, text, tuple_
from sqlalchemy.dialects.postgresql import Insert, insert

from totesys.contracts import Contract
from totesys.errors import BadDataError, FatalError, RetriableError
from totesys.load import staging
from totesys.load.models import ledger_table, star_tables
from totesys.load.plan import Loaded, Plan

_log = logging.getLogger(__name__)


def read_ledger(connection: Connection) -> Loaded:
    """The newest publish that is in the warehouse, inside the caller's transaction."""
    ledger = ledger_table()
    newest = select(ledger.c.publish_seq, ledger.c.publish_id, ledger.c.through_batch_seq).order_by(ledger.c.publish_seq.desc()).limit(1)
    row = connection.execute(newest).one_or_none()
    return Loaded(*row) if row else Loaded()


def merge(
    connection: Connection, plan: Plan, warehouse: Mapping[str, Contract], staged: Mapping[str, Table], expected: Mapping[str, int]
) -> bool:
    """Brings the staged rows in, all tables or none, and drops staging. False when another load was first, and nothing was changed.

    `expected` says how many rows each staging table must hold. RetriableError or BadDataError when one holds something else.
    """
    ledger = ledger_table()
    with connection.begin():
        # One load at a time from here on, until the commit; readers of the ledger go on.
        connection.execute(text(f"LOCK TABLE {ledger.fullname} IN EXCLUSIVE MODE"))
        loaded = read_ledger(connection)
        if loaded != plan.loaded:
            staging.drop(connection, staged.values())
            _log.info("another load brought in publish %d meanwhile: this one steps back", loaded.publish_seq)
            return False
        stars = star_tables(dict(warehouse))
        if not loaded.publish_seq:
            _refuse_unknown_facts(connection, [stars[contract.table] for contract in warehouse.values() if contract.version_of])
        changed = {}
        for contract in warehouse.values():
            if contract.table in staged:
                _check(connection, contract, staged[contract.table], expected[contract.table])
                changed[contract.table] = _bring_in(connection, contract, stars[contract.table], staged[contract.table])
        connection.execute(
            ledger.insert().values(
                publish_seq=plan.publish.seq, publish_id=plan.publish.publish_id, first_batch_seq=plan.after_batch_seq + 1,
                through_batch_seq=plan.publish.through_batch_seq, rows=changed,
            )
        )  # fmt: skip
        staging.drop(connection, staged.values())
    return True


def _refuse_unknown_facts(connection: Connection, facts: list[Table]) -> None:
    """A ledger without rows beside facts with rows is a lost ledger: a load from the start would bring every fact in twice."""
    for fact in facts:
        if connection.scalar(select(exists(select(fact.primary_key.columns[0])))):
            raise FatalError(
                f"warehouse table {fact.fullname} has rows, but {ledger_table().fullname} has none: restore the ledger, or empty the tables"
            )


def _check(connection: Connection, contract: Contract, staged: Table, expected: int) -> None:
    """Staging must hold each expected row once: a crash of the server empties it, and a retried Spark task writes twice."""
    identity = [staged.c[contract.lake_key], *([staged.c.batch_seq] if contract.version_of else [])]
    copies = select(func.count().label("copies")).select_from(staged).group_by(*identity).subquery()
    rows, distinct = connection.execute(select(func.coalesce(func.sum(copies.c.copies), 0), func.count())).one()
    if rows != expected:
        raise RetriableError(f"{staged.fullname} holds {rows} rows instead of {expected}; nothing was loaded, the next run stages afresh")
    if distinct != expected:
        raise BadDataError(
            f"the lake holds {expected - distinct} rows of {contract.table} twice (same {', '.join(column.name for column in identity)});"
            " nothing was loaded: see what the last publish wrote"
        )


def _bring_in(connection: Connection, contract: Contract, target: Table, staged: Table) -> int:
    started = time.monotonic()
    statement = _append(contract, target, staged) if contract.version_of else _upsert(contract, target, staged)
    changed = connection.execute(statement).rowcount
    _log.info(
        "%s: %d rows %s in %.2f s", contract.table, changed, "appended" if contract.version_of else "merged", time.monotonic() - started
    )
    return changed


def _append(contract: Contract, target: Table, staged: Table) -> Insert:
    """New versions, in the order of batch and key, which the serial follows: the latest version has the highest record id."""
    return insert(target).from_select(*_lake_columns(contract, staged, "batch_seq", contract.lake_key))


def _upsert(contract: Contract, target: Table, staged: Table) -> Insert:
    """Rows as they are now. A row that is the same already is not written again."""
    rows = insert(target).from_select(*_lake_columns(contract, staged, contract.lake_key))
    values = [column.name for column in contract.lake_columns if column.name != contract.key]
    return rows.on_conflict_do_update(
        index_elements=[contract.key],
        set_={name: rows.excluded[name] for name in values},
        where=tuple_(*(target.c[name] for name in values)).is_distinct_from(tuple_(*(rows.excluded[name] for name in values))),
    )


def _lake_columns(contract: Contract, staged: Table, *order: str) -> tuple[list[str], Select]:
    names = [column.name for column in contract.lake_columns]
    return names, select(*(staged.c[name] for name in names)).order_by(*(staged.c[name] for name in order))
