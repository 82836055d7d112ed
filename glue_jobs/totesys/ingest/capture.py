"""Decide, without side effects, how a batch reads each table (in full or as a delta) and what its manifest remembers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from totesys.contracts import Contract
from totesys.ingest.drift import LiveTable, silent_change
from totesys.ingest.source import Counted, Snapshot, TableError
from totesys.lake import layout
from totesys.lake.manifests import BatchManifest, Held, Observed, TableCapture
from totesys.runtime.run_request import RunRequest

FULL_EVERY = timedelta(days=1)
# age() compares 32-bit ids and overflows at 2^31; half of that leaves room for the transactions of a batch that takes long.
FARTHEST = 2**30
_MOST_DELETED = 5  # a person must approve a batch that would delete more than one in five rows of a table


@dataclass(frozen=True)
class Draft:
    """A batch that is being read. It counts once its manifest is committed. `attempt` separates ingests that race for the same number."""

    attempt: str
    started_at: str
    snapshot: Snapshot
    previous: BatchManifest | None
    request: RunRequest

    @property
    def seq(self) -> int:
        return self.previous.seq + 1 if self.previous else 1

    @property
    def batch_id(self) -> str:
        return layout.run_id(self.seq, self.attempt)

    def before(self, table: str) -> TableCapture | None:
        """Return the table's capture by the previous batch."""
        return self.previous.tables.get(table) if self.previous else None

    def held_before(self, table: str) -> Held | None:
        """Return why the previous batch held the table back; None when it did not."""
        return self.previous.held.get(table) if self.previous else None

    def observed_before(self, table: str) -> Observed | None:
        """Return what the previous batch observed of the table's structure."""
        return self.previous.observed.get(table) if self.previous else None

    def manifest(self, captures: Mapping[str, TableCapture], durable_lsn: int, **found: Any) -> BatchManifest:
        """Return the manifest that commits the batch with these captures.

        `durable_lsn` is the log position by which everything in the snapshot is on disk at the source. `found` holds the manifest's
        fields `held`, `drift` and `observed`.
        """
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
            oldest_transaction_since=self._oldest_transaction_since,
            snapshot_lsn=durable_lsn,
            **found,
        )

    @property
    def _oldest_transaction_since(self) -> str:
        snapshot, previous = self.snapshot, self.previous
        is_same = previous is not None and snapshot.xmin < snapshot.xmax and snapshot.text.split(":")[0] == previous.snapshot.split(":")[0]
        return min(previous.oldest_transaction_since, snapshot.taken_at) if previous and is_same else snapshot.taken_at

    def _is_work(self, table: str, capture: TableCapture) -> bool:
        """Return whether transform has work: new rows, or a full read whose key set differs although it landed no rows."""
        before = self.before(table)
        return capture.rows > 0 or (before is not None and capture.mode == "full" and capture.key_set != before.key_set)


def behind_reason(draft: Draft) -> str | None:
    """Return in what way the source is older than the previous batch; None when it is not.

    Reading a lagging replica would undo changes that an earlier batch captured, and so record a history that never happened. A source
    that was restored to an earlier state looks the same. Only a person can tell the two apart.
    """
    if draft.previous is None:
        return None
    now, then = draft.snapshot.identity, draft.previous.source
    if (now.system_identifier, now.database_oid) != (then.system_identifier, then.database_oid) or now.timeline > then.timeline:
        return None
    if now.timeline < then.timeline:
        return f"it is on timeline {now.timeline}, and batch {draft.previous.seq} read timeline {then.timeline}"
    if draft.snapshot.lsn_before < draft.previous.snapshot_lsn:
        behind = draft.previous.snapshot_lsn - draft.snapshot.lsn_before
        return f"its log is {behind} bytes behind where batch {draft.previous.seq} read it"
    return None


def no_delta_reason(draft: Draft, contract: Contract, live: LiveTable) -> str | None:
    """Return why a delta of the table would not be exact; None when it would be exact."""
    before, snapshot = draft.before(contract.table), draft.snapshot
    if draft.previous is None or before is None:
        return "first read"
    held = draft.held_before(contract.table)
    judged = held or before
    if snapshot.identity != draft.previous.source or live.oid != judged.table_oid:
        return "not the table of the previous batch"
    if behind_reason(draft):
        return "older than the previous batch"
    if contract.version != judged.contract_version:
        return "new contract version"
    if change := silent_change(contract, live, draft.observed_before(contract.table)):
        return change
    point = held.judged_xmin if held else before.capture_xmin
    if snapshot.xmin < point or snapshot.xmax - point >= FARTHEST:
        return "too far from the previous snapshot"
    return None


def full_wanted_reason(draft: Draft, table: str, before: TableCapture) -> str | None:
    """Return why the table is read in full although a delta would be exact; None when a delta is enough."""
    if draft.request.full or table in draft.request.replay:
        return "requested"
    if draft.held_before(table):
        return "held before"
    since_full = datetime.fromisoformat(draft.snapshot.taken_at) - datetime.fromisoformat(before.full_at)
    if not timedelta() <= since_full < FULL_EVERY:
        return "a day since the last"
    return None


def counts_from(draft: Draft, contract: Contract, live: LiveTable) -> int | None:
    """Return the transaction from which to count the table's changes; None when the table is read without counting first.

    The count shows whether the table must be read at all.
    """
    before = draft.before(contract.table)
    if before is None or no_delta_reason(draft, contract, live):
        return None
    request = draft.request
    if held := draft.held_before(contract.table):
        is_judged_again = held.cause in ("drift", "error") or request.full or contract.table in request.accept_deletes | request.replay
        return None if is_judged_again else held.judged_xmin
    return None if full_wanted_reason(draft, contract.table, before) else before.capture_xmin


def is_unchanged(counted: Counted, before: TableCapture, held: Held | None) -> bool:
    """Return whether no row was inserted, updated or deleted since the last capture; for a held table, since it was judged.

    Every new row version is a candidate. A delete without new versions lowers the row count.
    """
    return counted.candidates == 0 and counted.rows == (held.judged_rows if held else before.row_count)


def deletes_too_many(rows: int, deleted: int) -> bool:
    """Return whether a person must approve deleting this many of a table's rows. A table emptied by mistake looks the same."""
    return deleted * _MOST_DELETED > rows


def unchanged(before: TableCapture, snapshot: Snapshot) -> TableCapture:
    """Return the capture of an unchanged table: its capture point moves to this snapshot. Without candidates, nothing was seen."""
    return replace(
        before,
        mode="delta",
        capture_xmin=snapshot.xmin,
        captured_at=snapshot.taken_at,
        previous_at=previous_at(before, snapshot),
        rows=0,
        seen=None,
        files=(),
        since_xmin=None,
        dead_letters=replace(before.dead_letters, new_rows=0) if before.dead_letters else None,
    )


def hold_for(draft: Draft, contract: Contract, live: LiveTable, cause: str, reason: str, cure: str, rows: int = -1) -> Held:
    """Return the hold of a table, with this batch's reason. `rows` is the source's row count, or -1 if it was not counted."""
    earlier, snapshot = draft.held_before(contract.table), draft.snapshot
    since, dead_rows = (earlier.since, earlier.dead_rows) if earlier else (snapshot.taken_at, 0)
    return Held(cause, reason, cure, since, snapshot.xmin, rows, contract.version, live.oid, dead_rows)


def hold_for_error(draft: Draft, contract: Contract, live: LiveTable, error: TableError) -> Held:
    """Return the hold of a table that the source could not lock, count or read. The next batch tries again, and reads the table in full."""
    earlier, before = draft.held_before(contract.table), draft.before(contract.table)
    looked_at = earlier.judged_xmin if earlier else before.capture_xmin if before else 0
    return replace(hold_for(draft, contract, live, "error", error.reason, error.cure), judged_xmin=looked_at)


def is_told(before: Held | None, now: Held) -> bool:
    """Return whether an earlier alert reported this hold. A hold whose reason differs only in its numbers is not reported again."""
    if before is None or before.cause != now.cause:
        return False
    return before.reason == now.reason or (now.cause in ("deletes", "error") and before.cure == now.cure)


def held_capture(before: TableCapture) -> TableCapture:
    """Return the capture of a held table: that of the last batch that did not hold it, without rows.

    The batch that releases the table reads it in full.
    """
    dead = replace(before.dead_letters, new_rows=0) if before.dead_letters else None
    return replace(before, mode="delta", rows=0, files=(), since_xmin=None, dead_letters=dead)


def previous_at(before: TableCapture, snapshot: Snapshot) -> str:
    """Return the time of the table's previous capture, but never a time after this snapshot: the source's clock may have been set back."""
    return min(before.captured_at, snapshot.taken_at)
