"""Decisions of a batch, without side effects: read a table in full or only what changed, and what a batch without news remembers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from totesys import layout
from totesys.contracts import Contract
from totesys.ingest.source import Counted, Snapshot
from totesys.manifests import BatchManifest, TableCapture

FULL_EVERY = timedelta(days=1)
# age() compares 32-bit ids and overflows at 2^31; half of that leaves room for the transactions of a batch that takes long.
FARTHEST = 2**30


@dataclass(frozen=True)
class Draft:
    """A batch while it is read; it counts once its manifest is committed. `attempt` tells it from others that race for the number."""

    attempt: str
    started_at: str
    snapshot: Snapshot
    previous: BatchManifest | None
    full_demanded: bool

    @property
    def seq(self) -> int:
        return self.previous.seq + 1 if self.previous else 1

    @property
    def batch_id(self) -> str:
        return layout.run_id(self.seq, self.attempt)

    def before(self, table: str) -> TableCapture | None:
        """The table's capture by the previous batch."""
        return self.previous.tables.get(table) if self.previous else None

    def manifest(self, captures: Mapping[str, TableCapture]) -> BatchManifest:
        """The manifest that commits the batch with these captures."""
        last, last_but_one = (self.previous.data_seq, self.previous.previous_data_seq) if self.previous else (0, 0)
        has_work = any(self._is_work(table, capture) for table, capture in captures.items())
        return BatchManifest(
            seq=self.seq,
            batch_id=self.batch_id,
            started_at=self.started_at,
            snapshot=self.snapshot.text,
            snapshot_at=self.snapshot.taken_at,
            source=self.snapshot.identity,
            data_seq=self.seq if has_work else last,
            previous_data_seq=last if has_work else last_but_one,
            tables=dict(captures),
        )

    def _is_work(self, table: str, capture: TableCapture) -> bool:
        """Whether the transform has something to do: rows, or a table that held rows and holds none now."""
        before = self.before(table)
        return capture.rows > 0 or (before is not None and before.row_count > 0 and capture.row_count == 0)


def full_reason(draft: Draft, contract: Contract, oid: int) -> str | None:
    """Why a table must be read in full; None when a delta is exact."""
    before, snapshot = draft.before(contract.table), draft.snapshot
    if draft.previous is None or before is None:
        return "first read"
    if draft.full_demanded:
        return "demanded"
    if snapshot.identity != draft.previous.source or oid != before.table_oid:
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
