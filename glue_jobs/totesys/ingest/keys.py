"""The exact set of keys that the source held at a batch, as a roaring bitmap: a million consecutive keys take a few hundred bytes.

It finds deletes: what is known, together with the delta's keys, is the table unless rows are gone.
"""

from __future__ import annotations

from array import array

import pyarrow as pa
import pyarrow.compute as pc
from pyroaring import BitMap

from totesys import layout
from totesys.contracts import Contract
from totesys.errors import BadDataError
from totesys.store import Bucket


def add_keys(keys: BitMap, batch: pa.RecordBatch, contract: Contract) -> None:
    """Adds the batch's keys; BadDataError when one is negative, for a bitmap holds 0 to 2^32 - 1."""
    column = batch.column(contract.key)
    if column.null_count or pc.any(pc.less(column, 0)).as_py():
        raise BadDataError(f"{contract.table}.{contract.key} holds a negative key or none: give the row a positive one at the source")
    keys.update(array("I", column.to_pylist()))


def load_keys(bucket: Bucket, key: str) -> BitMap:
    """The key set that a batch saved."""
    return BitMap.deserialize(bucket.get(key))


def save_keys(bucket: Bucket, contract: Contract, batch_id: str, keys: BitMap) -> str:
    """Saves the key set of this batch, and returns where."""
    keys.run_optimize()
    key = layout.known_keys_key(contract.table, batch_id)
    bucket.put(key, keys.serialize())
    return key
