"""Rebuild the warehouse, or a part of it, from the lake. Readers see the old rows until the new rows are committed.

One transaction deletes fact rows and brings them in again, and changes the dimension rows that differ. TRUNCATE would block readers, and
show an empty table to older snapshots.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Table, delete, exists, false, func, or_, select

from totesys.contracts import Contract, Contracts
from totesys.errors import BadDataError, FatalError
from totesys.lake.manifests import PublishManifest
from totesys.load import ledger, outcome, waiting_rows
from totesys.load.merge import Floors, Tell, bring_in, in_one_transaction
from totesys.load.plan import LakeRows, Loaded, LoadPlan, check_lake, mirror_rows, newer_rows
from totesys.load.staging import Staged
from totesys.runtime.run_request import RunRequest
from totesys.warehouse.models import warehouse_tables

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Backfill:
    """What to rebuild: the rows that were loaded after `base` are replaced by the rows of the plan.

    base         the fact rows of this load and of earlier loads stay; the empty `Loaded` if none stay
    with_ledger  whether all tables are rebuilt, so that the ledger after the base is rebuilt too
    """

    plan: LoadPlan
    base: Loaded
    with_ledger: bool


def plan_backfill(
    publish: PublishManifest | None, loaded: Loaded, base: Loaded, tombstoned: frozenset[str], contracts: Contracts, request: RunRequest
) -> Backfill | None:
    """Return the requested backfill; None when an ordinary load has the same effect.

    The whole warehouse can be rebuilt from any lake. FatalError or RetriableError when a part would be rebuilt from a lake that does not
    fit the rest.
    """
    tables = requested_tables(contracts, request.backfill_table)
    is_all = request.backfill_table is None
    if publish is None or (base == loaded and base.load_seq if is_all else not loaded.load_seq):
        _log.info("nothing to rebuild: the lake is empty, or the warehouse has nothing of batch %d or later", request.backfill_from)
        return None
    if base.load_seq or not is_all:
        check_lake(publish, loaded)
    if base.load_seq:
        # A load may have brought in several batches. Its rows are kept or deleted together.
        _log.info("backfill from batch %d: what came through batch %d stays", request.backfill_from, base.through_batch_seq)
    through = publish.through_batch_seq if is_all else loaded.through_batch_seq

    def wanted(table: str) -> LakeRows:
        if is_all or contracts.warehouse[table].version_of:
            # A single fact is rebuilt only through the batch that all facts hold. An ordinary load brings in newer batches.
            return newer_rows(publish.star, table, base.through_batch_seq, through)
        return newer_rows(publish.star, table, 0, publish.through_batch_seq)  # the lake has only the latest state of a dimension

    stars = {table: wanted(table) for table in tables}
    sources = contracts.source if is_all else {source for table in tables for source in contracts.warehouse[table].inputs}
    mirrors = {table: mirror_rows(publish, table, 0, through) for table in sources}
    return Backfill(LoadPlan(publish, loaded, tombstoned, base.through_batch_seq, stars, mirrors), base, is_all)


def requested_tables(contracts: Contracts, table: str | None) -> Sequence[str]:
    """Return the warehouse tables that a backfill of this source or warehouse table rebuilds; all tables for None."""
    if table is None or table in contracts.warehouse:
        return [table] if table else list(contracts.warehouse)
    if table not in contracts.source:
        known = ", ".join((*contracts.source, *contracts.warehouse))
        raise FatalError(f"there is no table {table} to backfill: it must be one of {known}")
    return [name for name, contract in contracts.warehouse.items() if table in contract.inputs]


def replace(connection: Connection, backfill: Backfill, warehouse: dict[str, Contract], tell: Tell, staged: Staged) -> bool:
    """Replace the rows with the staged rows, all or nothing. Return False, without a change, when another load was first."""
    plan, base = backfill.plan, backfill.base
    stars = warehouse_tables(warehouse)
    facts = {table: stars[table] for table, contract in warehouse.items() if contract.version_of}
    dimensions = {table: stars[table] for table in plan.stars if table not in facts}
    rebuilt = [table for table in facts if table in plan.stars]

    def rebuild(floors: Floors) -> None:
        for table in rebuilt:
            connection.execute(delete(facts[table]).where(*_came_after(base, table, facts[table])))
            outcome.check_gone(connection, facts[table], *_came_after(base, table, facts[table]))
            waiting_rows.reset(connection, warehouse[table], base)
        changed = bring_in(connection, plan, warehouse, stars, staged, tell, base, {table: floors[table] for table in rebuilt})
        for table, dimension in dimensions.items():
            if not plan.stars[table].after:
                _drop_surplus(connection, dimension, staged.tables[table], facts.values())
        if backfill.with_ledger:
            ledger.forget_after(connection, base)
            ledger.append(connection, plan, changed, facts)
        else:
            for table in rebuilt:
                ledger.move_boundaries(connection, warehouse[table], facts[table], staged.tables[table], base)

    return in_one_transaction(connection, plan, warehouse, staged, rebuild)


def _came_after(base: Loaded, table: str, fact: Table) -> Sequence[ColumnElement[bool]]:
    return [fact.primary_key.columns[0] > base.last_record_ids.get(table, 0)] if base.load_seq else []


def _drop_surplus(connection: Connection, dimension: Table, staged: Table, facts: Iterable[Table]) -> None:
    """Delete the dimension rows that are not in staging, which holds all rows of the lake. BadDataError when facts refer to such rows.

    It does not delete all rows and bring them in again: for each deleted row, the server searches every fact for references.
    """
    [key] = dimension.primary_key.columns
    surplus = ~exists().where(staged.c[key.name] == key)
    references = [column for fact in facts for column in fact.columns if column.references(key)]
    referred = or_(false(), *(exists().where(column == key) for column in references))
    count = connection.scalar(select(func.count()).select_from(dimension).where(surplus, referred))
    if count:
        raise BadDataError(
            f"warehouse table {dimension.fullname} has {count} rows that the lake does not have, but facts refer to them. Nothing was"
            " changed: rebuild the facts as well, with scripts/totesys backfill without --table"
        )
    deleted = connection.execute(delete(dimension).where(surplus)).rowcount
    outcome.check_gone(connection, dimension, surplus)
    if deleted:
        _log.info("%s: deleted %d rows that the lake does not have", dimension.name, deleted)
