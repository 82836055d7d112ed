"""Plan a backfill of the lake: how much of the lake is kept, and which landed batches rebuild the rest."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from totesys.contracts import Contracts
from totesys.errors import FatalError
from totesys.lake import layout, manifests
from totesys.lake.manifests import NO_PUBLISH, PublishManifest
from totesys.lake.store import Bucket
from totesys.runtime.run_request import RunRequest
from totesys.transform.publish import Work

log = logging.getLogger(__name__)

_LISTINGS_AT_ONCE = 16


def backfill_work(ingestion: Bucket, processed: Bucket, newest: PublishManifest, contracts: Contracts, request: RunRequest) -> Work:
    """Return the work that rebuilds the requested tables from landed batches, through the same batch as the newest publish.

    With `backfill_from`, the work starts from the last publish before that batch, if all its files still exist: replaced files are
    deleted after a day. Otherwise all batches are brought in again, which gives the same rows.
    """
    sources = affected_sources(contracts, request.backfill_table)
    base = _base(processed, newest, request.backfill_from)
    affected = {table for table, contract in contracts.warehouse.items() if set(contract.inputs) & set(sources)}
    if request.backfill_table is None or request.backfill_table == "dim_date":
        affected.add("dim_date")
    start = replace(
        newest,
        through_batch_seq=base.through_batch_seq,
        mirror={table: (base if table in sources else newest).mirror.get(table, {}) for table in contracts.source},
        star={table: (base if table in affected else newest).star.get(table, {}) for table in contracts.warehouse},
    )
    landed = manifests.batches_after(ingestion, base.through_batch_seq)
    batches = tuple(batch for batch in landed if batch.seq <= newest.through_batch_seq)
    log.info("backfill of %s from batches above %d", request.backfill_table or "every table", base.through_batch_seq)
    return Work(start, batches, sources, frozenset(int(year) for year in newest.star.get("dim_date", {})))


def affected_sources(contracts: Contracts, table: str | None) -> tuple[str, ...]:
    """Return the source tables that must be brought in again to rebuild this source or warehouse table; all tables for None."""
    if table is None:
        return tuple(contracts.source)
    if table in contracts.source:
        return (table,)
    if table in contracts.warehouse:
        return contracts.warehouse[table].inputs
    known = ", ".join((*contracts.source, *contracts.warehouse))
    raise FatalError(f"there is no table {table} to backfill: it must be one of {known}")


def _base(processed: Bucket, newest: PublishManifest, from_batch: int) -> PublishManifest:
    """Return the last publish that holds only batches before `from_batch`, if all its files still exist; otherwise the empty lake."""
    publish = newest
    while publish.through_batch_seq >= from_batch:
        if not publish.previous_seq:
            return NO_PUBLISH
        publish = manifests.read_publish(processed, publish.previous_seq)
    prefixes = [state.prefix for tables in (publish.mirror, publish.star) for states in tables.values() for state in states.values()]
    with ThreadPoolExecutor(_LISTINGS_AT_ONCE) as pool:
        first = pool.map(partial(processed.first_key, is_ours=layout.is_data_file), prefixes)
        gone = [prefix for prefix, key in zip(prefixes, first) if key is None]
    if gone:
        log.info("files of publish %d have been replaced and deleted: starting from the first batch", publish.seq)
        return NO_PUBLISH
    return publish
