"""Decisions of a batch, without side effects: read a table in full or only what changed, and what a batch without news remembers."""

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
_MOST_DELETED = 5  # a batch that would delete more than one row in five of a table needs a person's word


@dataclass(frozen=True)
class Draft:
    """A batch while it is read; it counts once its manifest is committed. `attempt` tells it from others that race for the number."""

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
        """The table's capture by the previous batch."""
        return self.previous.tables.get(table) if self.previous else None

    def held_before(self, table: str) -> Held | None:
        """Why the previous batch held the table back; None when it did not."""
        return self.previous.held.get(table) if self.previous else None

    def observed_before(self, table: str) -> Observed | None:
        """What the previous batch observed of the table's structure."""
        return self.previous.observed.get(table) if self.previous else None

    def manifest(self, captures: Mapping[str, TableCapture], durable_lsn: int, **found: Any) -> BatchManifest:
        """The manifest that commits the batch with these captures; what its snapshot saw is on disk at the source by `durable_lsn`.
        `found`: held, drift and observed, as the manifest has them."""
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
        """Whether the transform has something to do: rows, or a full read that found rows gone and none that may go on."""
        before = self.before(table)
        return capture.rows > 0 or (before is not None and capture.mode == "full" and capture.key_set != before.key_set)


def behind_reason(draft: Draft) -> str | None:
    """How the source is older than the previous batch; None when it is not.

    A replica that lags would bring back what an earlier batch saw changed and delete what it saw inserted: history that never was. A source
    that was set back looks the same, and only a person can tell.
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
    """Why no delta of the table would be exact; None when one would be."""
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
    """Why the table is read in full though a delta would be exact; None when it is not."""
    if draft.request.full or table in draft.request.replay:
        return "requested"
    if draft.held_before(table):
        return "held before"
    since_full = datetime.fromisoformat(draft.snapshot.taken_at) - datetime.fromisoformat(before.full_at)
    if not timedelta() <= since_full < FULL_EVERY:
        return "a day since the last"
    return None


def counts_from(draft: Draft, contract: Contract, live: LiveTable) -> int | None:
    """The transaction from which to count the table's changes, to learn whether it must be read at all; None when it must be."""
    before = draft.before(contract.table)
    if before is None or no_delta_reason(draft, contract, live):
        return None
    request = draft.request
    if held := draft.held_before(contract.table):
        is_judged_anew = held.cause in ("drift", "error") or request.full or contract.table in request.accept_deletes | request.replay
        return None if is_judged_anew else held.judged_xmin
    return None if full_wanted_reason(draft, contract.table, before) else before.capture_xmin


def is_unchanged(counted: Counted, before: TableCapture, held: Held | None) -> bool:
    """Whether nothing was inserted, updated or deleted: every new row version is a candidate, and a delete alone lowers the count.
    Of a held table: nothing since it was judged."""
    return counted.candidates == 0 and counted.rows == (held.judged_rows if held else before.row_count)


def deletes_too_many(rows: int, deleted: int) -> bool:
    """Whether deleting so many of a table's rows needs a person's word: a table emptied by mistake looks just like this."""
    return deleted * _MOST_DELETED > rows


def unchanged(before: TableCapture, snapshot: Snapshot) -> TableCapture:
    """The capture of a table without news: its capture point moves to this snapshot. Without candidates there is nothing seen to keep."""
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
    """Return the hold of a table that this batch has a reason to hold. `rows` is how many rows the source has, or -1 if nobody counted."""
    earlier, snapshot = draft.held_before(contract.table), draft.snapshot
    since, dead_rows = (earlier.since, earlier.dead_rows) if earlier else (snapshot.taken_at, 0)
    return Held(cause, reason, cure, since, snapshot.xmin, rows, contract.version, live.oid, dead_rows)


def hold_for_error(draft: Draft, contract: Contract, live: LiveTable, error: TableError) -> Held:
    """Return the hold of a table that the source could not lock, count or read. The next batch tries again, and reads the table in full."""
    earlier, before = draft.held_before(contract.table), draft.before(contract.table)
    looked_at = earlier.judged_xmin if earlier else before.capture_xmin if before else 0
    return replace(hold_for(draft, contract, live, "error", error.reason, error.cure), judged_xmin=looked_at)


def is_told(before: Held | None, now: Held) -> bool:
    """Whether an alert has told people of this hold before. Other numbers in its reason do not count while the advice is the same."""
    if before is None or before.cause != now.cause:
        return False
    return before.reason == now.reason or (now.cause in ("deletes", "error") and before.cure == now.cure)


def held_capture(before: TableCapture) -> TableCapture:
    """The capture of a table that is held: as of the last batch that did not, and without rows of this one. What releases it reads
    the table in full."""
    dead = replace(before.dead_letters, new_rows=0) if before.dead_letters else None
    return replace(before, mode="delta", rows=0, files=(), since_xmin=None, dead_letters=dead)


def previous_at(before: TableCapture, snapshot: Snapshot) -> str:
    """The time of the table's previous capture, which is not after this snapshot even when the source's clock was set back."""
    return min(before.captured_at, snapshot.taken_at)
