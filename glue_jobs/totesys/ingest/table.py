"""One table of one batch: read from the source, landed in the bucket, and what the next batch must know of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
from pyroaring import BitMap

from totesys import layout
from totesys.arrow_types import arrow_schema
from totesys.contracts import RAW_LINEAGE, Contract
from totesys.errors import BadDataError
from totesys.ingest.keys import add_keys, load_keys, save_keys
from totesys.ingest.landing import Landing
from totesys.ingest.seen import Seen, drop_seen, load_seen
from totesys.ingest.source import Snapshot, Source
from totesys.ingest.stream import record_batches
from totesys.manifests import LandedFile, TableCapture
from totesys.store import Bucket


@dataclass(frozen=True)
class TableRead:
    """What reading a table needs. `oid` is the table's at the source; `before` its capture by the previous batch, None at first."""

    source: Source
    bucket: Bucket
    snapshot: Snapshot
    contract: Contract
    oid: int
    batch_seq: int
    batch_id: str
    before: TableCapture | None

    def full(self) -> TableCapture:
        """Reads every row, and the exact key set with it."""
        keys, seen = BitMap(), Seen(self.contract, self.snapshot)
        with self._batches(since=None) as batches, self._landing() as landing:
            for batch in batches:
                add_keys(keys, batch, self.contract)
                seen.add(batch)
                landing.write(batch)
            files = landing.finish()
        if len(keys) != sum(landed.rows for landed in files):
            raise BadDataError(f"{self.contract.table}.{self.contract.key} is not unique: restore the primary key at the source")
        same_as_before = self.before is not None and keys == load_keys(self.bucket, self.before.keys)
        return self._capture("full", files, keys, seen, key_set_changed=not same_as_before)

    def delta(self, before: TableCapture, row_count: int) -> TableCapture | None:
        """Reads the row versions that are new since `before`; None when rows are gone, which only a full read can tell."""
        known, keys, seen = load_keys(self.bucket, before.keys), BitMap(), Seen(self.contract, self.snapshot)
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
        return self._capture("delta", files, keys, seen, key_set_changed=keys != known)

    @contextmanager
    def _batches(self, since: int | None) -> Iterator[Iterator[pa.RecordBatch]]:
        copy = partial(self.source.copy, self.contract, self.batch_seq, since)
        with record_batches(copy, self._schema, self.contract.table) as batches:
            yield batches

    def _landing(self) -> Landing:
        return Landing(self.bucket, layout.raw_prefix(self.contract.table, self.snapshot.taken_at[:10], self.batch_id), self._schema)

    @property
    def _schema(self) -> pa.Schema:
        return arrow_schema((*self.contract.columns, *RAW_LINEAGE))

    def _capture(self, mode: str, files: tuple[LandedFile, ...], keys: BitMap, seen: Seen, *, key_set_changed: bool) -> TableCapture:
        before, taken_at = self.before, self.snapshot.taken_at
        return TableCapture(
            mode=mode,
            contract_version=self.contract.version,
            table_oid=self.oid,
            capture_xmin=self.snapshot.xmin,
            captured_at=taken_at,
            previous_at=before.captured_at if before else None,
            full_at=taken_at if mode == "full" or before is None else before.full_at,
            rows=sum(landed.rows for landed in files),
            row_count=len(keys),
            keys=before.keys if before and not key_set_changed else save_keys(self.bucket, self.contract, self.batch_id, keys),
            seen=seen.save(self.bucket, self.batch_id),
            files=files,
        )
