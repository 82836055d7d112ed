"""Row versions that a batch read at or above its own snapshot's xmin. The next delta reads them again and must drop them.

They exist only while a transaction stays open at the source. All other row versions are below xmin.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from totesys.contracts import Contract
from totesys.ingest.small_tables import load_table, save_table
from totesys.ingest.source import Snapshot
from totesys.lake import layout
from totesys.lake.formats import SEEN_VERSIONS, refuse_newer
from totesys.lake.manifests import TableCapture
from totesys.lake.store import Bucket

_SCHEMA = pa.schema([("key", pa.int64()), ("source_xid", pa.int64())])


class Seen:
    """Collects this batch's pairs (key, transaction)."""

    def __init__(self, contract: Contract, snapshot: Snapshot) -> None:
        self._contract = contract
        self._first = snapshot.xmin & 0xFFFFFFFF
        self._span = snapshot.xmax - snapshot.xmin
        self._pairs: list[pa.RecordBatch] = []

    def add(self, keys: pa.Array, xids: pa.Array) -> None:
        """Keep the pairs that a later delta may read again: those written in [xmin, xmax). Transaction ids wrap around at 32 bits."""
        if not self._span:
            return
        distance = pc.bit_wise_and(pc.subtract(xids, self._first), 0xFFFFFFFF)
        pairs = pa.record_batch([keys, xids], schema=_SCHEMA)
        kept = pairs.filter(pc.less(distance, self._span))
        if kept.num_rows:
            self._pairs.append(kept)

    def save(self, bucket: Bucket, batch_id: str) -> str | None:
        """Save the pairs. Return the object's key; None when there are no pairs."""
        if not self._pairs:
            return None
        key = layout.seen_key(self._contract.table, batch_id)
        save_table(bucket, key, pa.Table.from_batches(self._pairs))
        return key


def load_seen(bucket: Bucket, capture: TableCapture) -> pa.Array | None:
    """Return the (key, transaction) pairs that a capture saved, each as one text; None if it saved none. FatalError if unreadable."""
    if capture.seen is None:
        return None
    refuse_newer(bucket.address(capture.seen), capture.seen_format, SEEN_VERSIONS)
    pairs = load_table(bucket, capture.seen, _SCHEMA).combine_chunks()
    return _as_texts(pairs["key"], pairs["source_xid"]).combine_chunks()


def is_new(keys: pa.Array, xids: pa.Array, seen: pa.Array) -> pa.Array:
    """Return for each row version whether it is new, that is, not in `seen`."""
    return pc.invert(pc.is_in(_as_texts(keys, xids), value_set=seen))


def _as_texts(keys: pa.Array, xids: pa.Array) -> pa.Array:
    """Return one text per pair. Arrow looks up single values only, and two 64-bit numbers do not fit into one number."""
    return pc.binary_join_element_wise(keys.cast(pa.string()), xids.cast(pa.string()), " ")
