"""Run the transaction of a load: check staged rows, merge dimensions, append facts or let them wait, write the ledger, drop staging."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, Table, exists, func, select, text, tuple_
from sqlalchemy.dialects.postgresql import Insert, insert

from totesys.contracts import Contract
from totesys.errors import BadDataError, FatalError, RetriableError
from totesys.load import ledger, outcome, record_ids, reinserted, staging, tombstones, waiting_rows
from totesys.load.plan import Loaded, LoadPlan
from totesys.load.staging import Staged
from totesys.runtime.alerts import Alert
from totesys.warehouse.models import TOMBSTONE, ledger_table, waiting_table, warehouse_tables

Tell = Callable[[Sequence[Alert]], None]  # sends alerts
Floors = Mapping[str, int]  # fact -> a record id; every row that this load appends gets a higher one

_log = logging.getLogger(__name__)


def merge(connection: Connection, plan: LoadPlan, warehouse: dict[str, Contract], tell: Tell, staged: Staged) -> bool:
    """Bring in the staged rows, and the waiting rows whose parents have come, all or nothing.

    Return False, without a change, when another load was first.
    """

    def load(floors: Floors) -> None:
        stars = warehouse_tables(warehouse)
        facts = {table: stars[table] for table, contract in warehouse.items() if contract.version_of}
        if not plan.loaded.load_seq:
            _refuse_unknown_facts(connection, [*facts.values(), *(waiting_table(warehouse[table]) for table in facts)])
        ledger.append(connection, plan, bring_in(connection, plan, warehouse, stars, staged, tell, plan.loaded, floors), facts)

    return in_one_transaction(connection, plan, warehouse, staged, load)


def in_one_transaction(
    connection: Connection, plan: LoadPlan, warehouse: dict[str, Contract], staged: Staged, work: Callable[[Floors], None]
) -> bool:
    """Lock the ledger, check the staged rows, do the work and drop staging. Return False when the warehouse has changed since the plan.

    RetriableError or BadDataError when a staging table does not hold the expected rows. After any error, nothing was changed.
    """
    with connection.begin():
        ledger.lock(connection)
        loaded = ledger.newest(connection)
        if (loaded, tombstones.tombstoned(connection)) != (plan.loaded, plan.tombstoned):
            staging.drop(connection, staged.tables.values())
            _log.info("another load brought in publish %d meanwhile: this load starts over", loaded.publish_seq)
            return False
        for table, staging_table in staged.tables.items():
            _check(connection, table, staging_table, _identity(table, warehouse), staged.rows[table])
        connection.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))  # a deferred trigger would act after the checks, at the commit
        work(_floors(connection, plan, warehouse, staged))
        staging.drop(connection, staged.tables.values())
    return True


def _floors(connection: Connection, plan: LoadPlan, warehouse: dict[str, Contract], staged: Staged) -> Floors:
    record_ids.forget_cached(connection)
    stars = warehouse_tables(warehouse)
    return {
        table: record_ids.reserve(connection, contract, stars[table], plan.loaded.last_record_ids.get(table, 0), staged.rows.get(table, 0))
        for table, contract in warehouse.items()
        if contract.version_of
    }


def bring_in(
    connection: Connection,
    plan: LoadPlan,
    warehouse: Mapping[str, Contract],
    stars: Mapping[str, Table],
    staged: Staged,
    tell: Tell,
    base: Loaded,
    floors: Floors,
) -> dict[str, int]:
    """Merge and append all staged rows, parents first. Return how many rows of each table changed.

    For the facts in `floors`, waiting rows whose parents have come go in too, after the load `base`. Alerts report new rows that wait.
    FatalError when a table does not hold the rows that were written to it.
    """
    changed = {}
    for table, contract in warehouse.items():
        started = time.monotonic()
        if table in floors:
            waited = waiting_rows.count(connection, contract)
            rows = waiting_rows.bring_in(connection, contract, stars, staged.tables.get(table), base)
            went_in = staged.rows.get(table, 0) + waited - waiting_rows.count(connection, contract)
            outcome.check_appended(connection, stars[table], waiting_table(contract), floors[table], went_in)
        elif table in staged.tables:
            rows = connection.execute(_upsert(contract, stars[table], staged.tables[table])).rowcount
            outcome.check_merged(connection, contract, stars[table], staged.tables[table])
        else:
            continue
        if rows or table in staged.tables:
            changed[table] = rows
            _log.info("%s: %d rows %s in %.2f s", table, rows, "appended" if table in floors else "merged", time.monotonic() - started)
    told = [waiting_rows.alert(connection, warehouse[table], base.through_batch_seq, plan.publish.through_batch_seq) for table in floors]
    tell([alert for alert in told if alert])
    reinserted.bring_in(connection, plan, warehouse, staged.tables)
    tombstones.bring_in(connection, plan, staged.tables.get(TOMBSTONE))
    return changed


def _refuse_unknown_facts(connection: Connection, facts: Iterable[Table]) -> None:
    """Raise FatalError when facts have rows but the ledger has none. The ledger was lost: a first load would bring in every fact twice."""
    for fact in facts:
        if connection.scalar(select(exists(select(fact)))):
            raise FatalError(
                f"warehouse table {fact.fullname} has rows, but {ledger_table().fullname} has none: restore the ledger, or rebuild the"
                " warehouse from the lake with scripts/totesys backfill"
            )


def _identity(table: str, warehouse: Mapping[str, Contract]) -> list[str]:
    """Return the columns that identify a row of a staging table."""
    if table == TOMBSTONE:
        return ["source_table", "key"]
    contract = warehouse[table]
    return [contract.lake_key, "batch_seq"] if contract.version_of else [contract.lake_key]


def _check(connection: Connection, table: str, staged: Table, identity: list[str], expected: int) -> None:
    """Check that staging holds each expected row once. A crash of the server empties it, and a retried Spark task writes rows twice."""
    copies = select(func.count().label("copies")).select_from(staged).group_by(*(staged.c[name] for name in identity)).subquery()
    rows, distinct = connection.execute(select(func.coalesce(func.sum(copies.c.copies), 0), func.count())).one()
    if rows != expected:
        raise RetriableError(f"{staged.fullname} holds {rows} rows instead of {expected}. Nothing was loaded: the next run stages again")
    if distinct != expected:
        raise BadDataError(
            f"the lake holds {expected - distinct} rows of {table} twice (same {', '.join(identity)})."
            " Nothing was loaded: look at what the last publish wrote"
        )


def _upsert(contract: Contract, target: Table, staged: Table) -> Insert:
    """Return the statement that merges staged rows into a dimension. A row that is equal already is not written again."""
    rows = insert(target).from_select(*_lake_columns(contract, staged))
    values = [column.name for column in contract.lake_columns if column.name != contract.key]
    return rows.on_conflict_do_update(
        index_elements=[contract.key],
        set_={name: rows.excluded[name] for name in values},
        where=tuple_(*(target.c[name] for name in values)).is_distinct_from(tuple_(*(rows.excluded[name] for name in values))),
    )


def _lake_columns(contract: Contract, staged: Table) -> tuple[list[str], Select[Any]]:
    names = [column.name for column in contract.lake_columns]
    return names, select(*(staged.c[name] for name in names)).order_by(staged.c[contract.key])
