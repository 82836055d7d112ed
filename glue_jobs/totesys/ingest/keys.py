"""Key sets: the exact keys of a table at a batch, as a roaring bitmap. A million consecutive keys take a few hundred bytes.

A key set finds deletes. The known keys together with the delta's keys equal the table's keys, unless rows were deleted.
"""

from __future__ import annotations

import json
from array import array

import pyarrow as pa
from pyroaring import BitMap64

from totesys.contracts import UNREADABLE, Contract
from totesys.errors import BadDataError
from totesys.lake import layout
from totesys.lake.formats import KEY_SET, refuse_newer
from totesys.lake.manifests import TableCapture
from totesys.lake.store import Bucket


def keys_of(batch: pa.RecordBatch, contract: Contract) -> pa.Array:
    """Return each row's key as a 64-bit integer, even if it does not fit the contract's type. BadDataError when a row has no key."""
    column = batch.column(contract.key)
    keys = column.cast(pa.int64())
    if column.null_count:
        misfits = batch.column(UNREADABLE).to_pylist()
        texts = (json.loads(misfit or "{}").get(contract.key) if key is None else key for key, misfit in zip(keys.to_pylist(), misfits))
        keys = pa.array([None if text is None else int(text) for text in texts], pa.int64())
    if keys.null_count:
        raise BadDataError(f"{contract.table}.{contract.key} is null in {keys.null_count} rows: give each row a key at the source")
    return keys


def add_keys(keys: BitMap64, added: pa.Array) -> None:
    """Add the keys that `keys_of` returned. A bitmap holds no negative numbers: a negative key is stored as its 64 bits, unsigned."""
    unsigned = array("Q")
    unsigned.frombytes(array("q", added.to_pylist()).tobytes())
    keys.update(unsigned)


def holds(keys: BitMap64, key: int) -> bool:
    """Return whether a key is in a set that `add_keys` has filled."""
    return key % 2**64 in keys


def load_keys(bucket: Bucket, capture: TableCapture) -> BitMap64:
    """Return the key set of a capture. FatalError when it cannot be read, or its size differs from the manifest's."""
    refuse_newer(bucket.address(capture.key_set), capture.key_set_format, KEY_SET)
    body = bucket.get(capture.key_set)
    try:
        keys = BitMap64.deserialize(body)
    except (IndexError, ValueError) as error:  # IndexError: the object is empty
        raise bucket.damaged(capture.key_set, "it is not a key set") from error
    if len(keys) != capture.row_count:
        raise bucket.damaged(capture.key_set, f"it has {len(keys)} keys, and the manifest says {capture.row_count}")
    return keys


def save_keys(bucket: Bucket, contract: Contract, batch_id: str, keys: BitMap64) -> str:
    """Save the key set of this batch. Return the object's key."""
    keys.run_optimize()
    key = layout.known_keys_key(contract.table, batch_id)
    bucket.put(key, keys.serialize())
    return key
