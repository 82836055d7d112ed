"""One table of one batch: read from the source, landed in the bucket, and what the next batch must know of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
from pyroaring import BitMap

from totesys import layout
from totesys.arrow_types import arrow_schema
from totesys.contracts import RAW_LINEAGE, Contract
from totesys.errors import BadDataError
from totesys.ingest.capture import Draft, deletes_too_many, full_wanted_reason, held, no_delta_reason, previous_at
from totesys.ingest.keys import add_keys, load_keys, save_keys
from totesys.ingest.landing import Landing
from totesys.ingest.seen import Seen, drop_seen, load_seen
from totesys.ingest.source import Counted, Source
from totesys.ingest.stream import record_batches
from totesys.manifests import Held, LandedFile, TableCapture
from totesys.store import Bucket

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TableRead:
    """What reading a table needs; `oid` is the table's at the source."""

    source: Source
    bucket: Bucket
    draft: Draft
    contract: Contract
    oid: int

    def capture(self, counted: Counted | None) -> TableCapture:
        """Reads the table: in full where no delta is exact, or rows are gone, or a full is wanted; else the delta.

        `counted` is what changed since the last capture, or None when nobody has counted. The table is held when too many rows are gone.
        """
        started = time.monotonic()
        before = self.draft.before(self.contract.table)
        reason = no_delta_reason(self.draft, self.contract, self.oid) or (full_wanted_reason(self.draft, before) if before else None)
        captured = None
        if before and counted and reason is None:
            if self._is_refused(before.row_count, before.row_count - counted.rows):  # at least so many: inserts may hide some
                captured = self._held(before, before.row_count - counted.rows, counted.rows)
            else:
                captured = self._delta(before, counted.rows)
                reason = None if captured else "rows were deleted"
        captured = captured or self._full(before)
        mode = "held" if captured.held else f"full ({reason})" if reason else "delta"
        seconds = time.monotonic() - started
        log.info("batch %d: %s %s, %d rows in %.2f s", self.draft.seq, self.contract.table, mode, captured.rows, seconds)
        return captured

    def _full(self, before: TableCapture | None) -> TableCapture:
        """Reads every row, and the exact key set with it."""
        keys, seen = BitMap(), Seen(self.contract, self.draft.snapshot)
        known = load_keys(self.bucket, before.keys) if before else BitMap()
        with self._batches(since=None) as batches, self._landing() as landing:
            for batch in batches:
                add_keys(keys, batch, self.contract)
                seen.add(batch)
                landing.write(batch)
            if len(keys) != landing.rows:
                raise BadDataError(f"{self.contract.table}.{self.contract.key} is not unique: restore the primary key at the source")
            deleted = known.difference_cardinality(keys)
            if before and self._is_refused(len(known), deleted):
                return self._held(before, deleted, len(keys))  # what was uploaded is of no batch: nobody reads it
            files = landing.finish()
        return self._captured("full", files, known if before else None, keys, seen)

    def _is_refused(self, rows: int, deleted: int) -> bool:
        return deletes_too_many(rows, deleted) and self.contract.table not in self.draft.demands.accept_deletes

    def _held(self, before: TableCapture, deleted: int, rows: int) -> TableCapture:
        since = before.held.since if before.held else self.draft.snapshot.taken_at
        reason = f"at least {deleted} of {before.row_count} rows are gone from the source, more than a fifth"
        return held(before, Held(reason, since, self.draft.snapshot.xmin, rows), self.contract, self.oid)

    def _delta(self, before: TableCapture, row_count: int) -> TableCapture | None:
        """Reads the row versions that are new since `before`; None when rows are gone, which only a full read can tell apart."""
        known, keys, seen = load_keys(self.bucket, before.keys), BitMap(), Seen(self.contract, self.draft.snapshot)
        already_read = load_seen(self.bucket, before.seen) if before.seen else None
        with self._batches(since=before.capture_xmin) as batches, self._landing() as landing:
            for batch in batches:
                add_keys(keys, batch, self.contract)
                seen.add(batch)
                landing.write(batch if already_read is None else drop_seen(batch, self.contract, already_read))
            keys |= known
            if len(keys) != row_count:
                return None
            files = landing.finish()
        return self._captured("delta", files, known, keys, seen)

    def _batches(self, since: int | None) -> AbstractContextManager[Iterator[pa.RecordBatch]]:
        copy = partial(self.source.copy, self.contract, self.draft.seq, since)
        return record_batches(copy, self._schema, self.contract.table)

    def _landing(self) -> Landing:
        prefix = layout.raw_prefix(self.contract.table, self.draft.snapshot.date, self.draft.batch_id)
        return Landing(self.bucket, prefix, self._schema)

    @property
    def _delta_is_exact(self) -> bool:
        return no_delta_reason(self.draft, self.contract, self.oid) is None

    @property
    def _schema(self) -> pa.Schema:
        return arrow_schema((*self.contract.columns, *RAW_LINEAGE))

    def _captured(self, mode: str, files: tuple[LandedFile, ...], known: BitMap | None, keys: BitMap, seen: Seen) -> TableCapture:
        """What the manifest says of the table. An unchanged key set stays where an earlier batch saved it."""
        before, snapshot, batch_id = self.draft.before(self.contract.table), self.draft.snapshot, self.draft.batch_id
        return TableCapture(
            mode=mode,
            contract_version=self.contract.version,
            table_oid=self.oid,
            capture_xmin=snapshot.xmin,
            captured_at=snapshot.taken_at,
            previous_at=previous_at(before, snapshot) if before else None,
            full_at=before.full_at if before and mode == "delta" else snapshot.taken_at,
            rows=sum(landed.rows for landed in files),
            row_count=len(keys),
            keys=before.keys if before and keys == known else save_keys(self.bucket, self.contract, batch_id, keys),
            seen=seen.save(self.bucket, batch_id),
            files=files,
            since_xmin=before.capture_xmin if before and mode == "full" and not before.held and self._delta_is_exact else None,
        )
