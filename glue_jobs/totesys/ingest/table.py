"""Read one table of one batch: from the source into the bucket, with what the next batch must know about it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial

import pyarrow as pa
from pyroaring import BitMap64

from totesys.contracts import RAW_LINEAGE, UNREADABLE, Contract
from totesys.contracts.arrow_types import arrow_schema
from totesys.errors import BadDataError
from totesys.ingest.capture import Draft, deletes_too_many, full_wanted_reason, hold_for, hold_for_error, no_delta_reason, previous_at
from totesys.ingest.dead_letters import LetterFile, Sorting, write_whole
from totesys.ingest.drift import NOT_GRANTED, Finding, LiveTable
from totesys.ingest.keys import add_keys, keys_of, load_keys, save_keys
from totesys.ingest.landing import Landing
from totesys.ingest.seen import Seen, is_new, load_seen
from totesys.ingest.source import Counted, Source, TableError
from totesys.ingest.stream import record_batches
from totesys.lake import layout
from totesys.lake.formats import KEY_SET
from totesys.lake.manifests import DeadLetters, Held, LandedFile, TableCapture
from totesys.lake.store import Bucket
from totesys.runtime.logs import log_fields

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TableRead:
    """Everything that reading a table needs. `live` is the table at the source."""

    source: Source
    bucket: Bucket
    draft: Draft
    contract: Contract
    live: LiveTable

    def capture(self, counted: Counted | None) -> TableCapture | Held:
        """Read the table. The default is a delta; a full read is used when no delta is exact, rows were deleted, or it is requested.

        `counted` is what changed since the last capture, or None if it was not counted. The table is held when too many rows were
        deleted, a value cannot be read, or the source fails to count or read the table.
        """
        started, table = time.monotonic(), self.contract.table
        before = self.draft.before(table)
        reason = no_delta_reason(self.draft, self.contract, self.live)
        reason = reason or (full_wanted_reason(self.draft, table, before) if before else None)
        earlier = self.draft.held_before(table)
        try:
            if earlier and earlier.cause == "error":
                self._read_all()
            captured = self._captured_or_held(before, counted, reason)
        except TableError as error:
            captured = hold_for_error(self.draft, self.contract, self.live, error)
        except BadDataError as error:
            captured = self._held("rows", str(error), "correct the rows at the source", counted.rows if counted else -1)
        outcome = "held" if isinstance(captured, Held) else f"{captured.mode}, {captured.rows} rows"
        seconds, rows = time.monotonic() - started, None if isinstance(captured, Held) else captured.rows
        log.info(
            "batch %d: %s %s in %.2f s%s", self.draft.seq, table, outcome, seconds, f" ({reason})" if reason else "",
            extra=log_fields("table read", batch=self.draft.seq, table=table, rows=rows, seconds=round(seconds, 3)),
        )  # fmt: skip
        return captured

    def hold(self, drift: list[Finding], is_locked: bool) -> Held:
        """Hold the table for its drift. Row versions that are new since the last batch that read them go to the dead letter.

        If our role cannot read them now, they go there in the first batch that can read them.
        """
        table, before = self.contract.table, self.draft.before(self.contract.table)
        earlier = self.draft.held_before(table)
        reason = "; ".join(finding.text for finding in drift)
        cure = f"change the source back, or settle the contract: scripts/totesys schema propose {table} --write, then scripts/deploy.sh"
        if all(finding.kind in NOT_GRANTED for finding in drift):
            cure = f"grant the job's role SELECT on {table}, or run scripts/deploy.sh, which does"
        held = self._held("drift", reason, cure, -1)
        since = earlier.judged_xmin if earlier else before.capture_xmin if before else None
        unread = replace(held, judged_xmin=since or 0)
        if not (self.live.shows_rows and is_locked):
            return unread
        try:
            with LetterFile(self.bucket, self.contract, self.draft) as letters:
                write_whole(letters, reason, self.source.whole_rows(self.contract, self.live, since))
                letters.finish()
        except TableError as error:
            log.warning("batch %d: the rows of %s cannot be put into the dead letter now: %s", self.draft.seq, table, error)
            return unread
        return replace(held, dead_rows=held.dead_rows + letters.rows)

    def _captured_or_held(self, before: TableCapture | None, counted: Counted | None, reason: str | None) -> TableCapture | Held:
        if before and counted and reason is None:
            gone = before.row_count - counted.rows  # at least this many; inserts may hide more
            if self._is_refused(before.row_count, gone):
                return self._held_for_deletes(before, gone, counted.rows)
            if delta := self._delta(before, counted.rows):
                return delta
        return self._full(before)

    def _full(self, before: TableCapture | None) -> TableCapture | Held:
        """Read every row and the exact key set."""
        keys, seen = BitMap64(), Seen(self.contract, self.draft.snapshot)
        known = load_keys(self.bucket, before) if before else BitMap64()
        rows = 0
        with self._batches(since=None) as batches, self._landing() as landing, self._sorting(before) as sorting:
            for batch in batches:
                rows += batch.num_rows
                found = keys_of(batch, self.contract)
                add_keys(keys, found)
                seen.add(found, batch.column("source_xid"))
                landing.write(sorting.good(batch, found))
            if len(keys) != rows:
                raise BadDataError(f"{self.contract.table}.{self.contract.key} is not unique: restore the primary key at the source")
            deleted = known.difference_cardinality(keys)
            if before and self._is_refused(len(known), deleted):
                return self._held_for_deletes(before, deleted, len(keys))  # no manifest will name the uploaded files
            files, dead = landing.finish(), sorting.finish("full")
        return self._captured("full", files, known if before else None, keys, seen, dead)

    def _read_all(self) -> None:
        """Read every row and keep none. Without this, a table that fails repeatedly would leave files behind in every tick."""
        with self._batches(since=None) as batches:
            for _ in batches:
                pass

    def _is_refused(self, rows: int, deleted: int) -> bool:
        return deletes_too_many(rows, deleted) and self.contract.table not in self.draft.request.accept_deletes

    def _held_for_deletes(self, before: TableCapture, deleted: int, rows: int) -> Held:
        reason = f"at least {deleted} of {before.row_count} rows are gone from the source, more than a fifth"
        cure = (
            f"if the deletes are intended: scripts/totesys run --accept-deletes {self.contract.table};"
            " if not, restore the rows at the source"
        )
        return self._held("deletes", reason, cure, rows)

    def _held(self, cause: str, reason: str, cure: str, rows: int) -> Held:
        return hold_for(self.draft, self.contract, self.live, cause, reason, cure, rows)

    def _delta(self, before: TableCapture, row_count: int) -> TableCapture | None:
        """Read the row versions that are new since `before`. Return None when rows were deleted: only a full read finds which."""
        known, keys, seen = (
            load_keys(self.bucket, before),
            BitMap64(),
            Seen(self.contract, self.draft.snapshot),
        )
        already_read = load_seen(self.bucket, before)
        with self._batches(since=before.capture_xmin) as batches, self._landing() as landing, self._sorting(before) as sorting:
            for batch in batches:
                found, xids = keys_of(batch, self.contract), batch.column("source_xid")
                add_keys(keys, found)
                seen.add(found, xids)
                if already_read is not None:
                    is_unread = is_new(found, xids, already_read)
                    batch, found = batch.filter(is_unread), found.filter(is_unread)
                landing.write(sorting.good(batch, found))
            keys |= known
            if len(keys) != row_count:
                return None
            files, dead = landing.finish(), sorting.finish("delta")
        return self._captured("delta", files, known, keys, seen, dead)

    def _batches(self, since: int | None) -> AbstractContextManager[Iterator[pa.RecordBatch]]:
        copy = partial(self.source.copy, self.contract, self.live, self.draft.seq, since)
        unreadable = pa.field(UNREADABLE, pa.string())
        return record_batches(copy, self._schema.insert(len(self.contract.columns), unreadable), self.contract.table)

    def _sorting(self, before: TableCapture | None) -> Sorting:
        return Sorting(self.bucket, self.contract, self.draft, before.dead_letters if before else None)

    def _landing(self) -> Landing:
        prefix = layout.raw_prefix(self.contract.table, self.draft.snapshot.date, self.draft.batch_id)
        return Landing(self.bucket, prefix, self._schema)

    @property
    def _delta_is_exact(self) -> bool:
        """Return whether a delta would have read all changes that a full read finds."""
        table = self.contract.table
        is_as_before = no_delta_reason(self.draft, self.contract, self.live) is None and not self.draft.held_before(table)
        return is_as_before and table not in self.draft.request.replay

    @property
    def _schema(self) -> pa.Schema:
        return arrow_schema((*self.contract.columns, *RAW_LINEAGE))

    def _captured(
        self, mode: str, files: tuple[LandedFile, ...], known: BitMap64 | None, keys: BitMap64, seen: Seen, dead: DeadLetters | None
    ) -> TableCapture:
        """Return the table's entry in the manifest. An unchanged key set stays where an earlier batch saved it."""
        before, snapshot, batch_id = self.draft.before(self.contract.table), self.draft.snapshot, self.draft.batch_id
        kept = before if before and keys == known else None
        return TableCapture(
            mode=mode,
            contract_version=self.contract.version,
            table_oid=self.live.oid,
            capture_xmin=snapshot.xmin,
            captured_at=snapshot.taken_at,
            previous_at=previous_at(before, snapshot) if before else None,
            full_at=before.full_at if before and mode == "delta" else snapshot.taken_at,
            rows=sum(landed.rows for landed in files),
            row_count=len(keys),
            key_set=kept.key_set if kept else save_keys(self.bucket, self.contract, batch_id, keys),
            key_set_format=kept.key_set_format if kept else KEY_SET,
            seen=seen.save(self.bucket, batch_id),
            files=files,
            since_xmin=before.capture_xmin if before and mode == "full" and self._delta_is_exact else None,
            dead_letters=dead,
        )
