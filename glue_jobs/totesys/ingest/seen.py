"""The row versions that a batch read at or above its own snapshot's xmin: the next batch is offered them again and must drop them.

There are some only while a transaction stays open at the source, since all others are below xmin.
"""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from totesys import layout
from totesys.contracts import Contract
from totesys.ingest.source import Snapshot
from totesys.store import Bucket

_SCHEMA = pa.schema([("key", pa.int64()), ("source_xid", pa.int64())])


class Seen:
    """Collects this batch's pairs (key, transaction)."""

    def __init__(self, contract: Contract, snapshot: Snapshot) -> None:
        self._contract = contract
        self._first = snapshot.xmin & 0xFFFFFFFF
        self._span = snapshot.xmax - snapshot.xmin
        self._pairs: list[pa.RecordBatch] = []

    def add(self, batch: pa.RecordBatch) -> None:
        """Keeps the pairs of those rows that a later delta may offer again: written in [xmin, xmax), counted round the 32 bits."""
        if not self._span:
            return
        xids = batch.column("source_xid")
        distance = pc.bit_wise_and(pc.subtract(xids, self._first), 0xFFFFFFFF)
        pairs = pa.record_batch([batch.column(self._contract.key).cast(pa.int64()), xids], schema=_SCHEMA)
        kept = pairs.filter(pc.less(distance, self._span))
        if kept.num_rows:
            self._pairs.append(kept)

    def save(self, bucket: Bucket, batch_id: str) -> str | None:
        """Saves the pairs and returns where; None when there are none."""
        if not self._pairs:
            return None
        body = io.BytesIO()
        pq.write_table(pa.Table.from_batches(self._pairs), body, compression="zstd")
        key = layout.seen_key(self._contract.table, batch_id)
        bucket.put(key, body.getvalue())
        return key


def load_seen(bucket: Bucket, key: str) -> pa.Array:
    """The pairs that a batch saved, each as one number."""
    pairs = pq.ParquetFile(io.BytesIO(bucket.get(key))).read().combine_chunks()
    return pc.add(pc.shift_left(pairs["key"], 32), pairs["source_xid"]).combine_chunks()


def drop_seen(batch: pa.RecordBatch, contract: Contract, seen: pa.Array) -> pa.RecordBatch:
    """The batch without the row versions that are in `seen`."""
    pairs = pc.add(pc.shift_left(batch.column(contract.key).cast(pa.int64()), 32), batch.column("source_xid"))
    return batch.filter(pc.invert(pc.is_in(pairs, value_set=seen)))
