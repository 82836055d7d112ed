"""Decisions of a batch, without side effects: read a table in full or only what changed, and what a batch without news remembers."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from totesys.contracts import Contract
from totesys.ingest.source import Counted, Snapshot
from totesys.manifests import BatchManifest, TableCapture

FULL_EVERY = timedelta(days=1)
# age() compares 32-bit ids and overflows at 2^31; half of that leaves room for the transactions of a batch that takes long.
FARTHEST = 2**30


def full_reason(contract: Contract, oid: int, snapshot: Snapshot, previous: BatchManifest | None, demanded: bool) -> str | None:
    """Why a table must be read in full; None when a delta is exact."""
    before = previous.tables.get(contract.table) if previous else None
    if previous is None or before is None:
        return "first read"
    if demanded:
        return "demanded"
    if snapshot.identity != previous.source or oid != before.table_oid:
        return "not the table of the previous batch"
    if contract.version != before.contract_version:
        return "new contract version"
    # A snapshot may also be older than the previous one: a replica that lags, or a restored server.
    if not 0 <= snapshot.xmin - before.capture_xmin < FARTHEST:
        return "too far from the previous snapshot"
    since_full = datetime.fromisoformat(snapshot.taken_at) - datetime.fromisoformat(before.full_at)
    if not timedelta() <= since_full < FULL_EVERY:
        return "a day since the last"
    return None


def is_unchanged(counted: Counted, before: TableCapture) -> bool:
    """Whether nothing was inserted, updated or deleted: every new row version is a candidate, and a delete alone lowers the count."""
    return counted.candidates == 0 and counted.rows == before.row_count


def unchanged(before: TableCapture, snapshot: Snapshot) -> TableCapture:
    """The capture of a table without news: its capture point moves to this snapshot. Without candidates there is nothing seen to keep."""
    return replace(
        before,
        mode="delta",
        capture_xmin=snapshot.xmin,
        captured_at=snapshot.taken_at,
        previous_at=before.captured_at,
        rows=0,
        seen=None,
        files=(),
    )


def brings_something(captures: dict[str, TableCapture], previous: BatchManifest | None) -> bool:
    """Whether a batch has work for the transform: rows, or a table that was emptied since the previous batch."""

    def emptied(table: str) -> bool:
        return previous is not None and table in previous.tables and previous.tables[table].row_count > 0

    return any(capture.rows or (capture.mode == "full" and emptied(table)) for table, capture in captures.items())
