"""Save and load the small Parquet tables that a batch keeps beside its manifest. Each is read whole."""

from __future__ import annotations

import io
from contextlib import closing

import pyarrow as pa
import pyarrow.parquet as pq

from totesys.lake.store import Bucket


def save_table(bucket: Bucket, key: str, table: pa.Table) -> None:
    """Write the table as one object."""
    body = io.BytesIO()
    pq.write_table(table, body, compression="zstd")
    bucket.put(key, body.getvalue())


def load_table(bucket: Bucket, key: str, schema: pa.Schema) -> pa.Table:
    """Return the schema's columns of a saved table; other columns are ignored. FatalError when the object lacks them or is not Parquet."""
    body = bucket.get(key)
    try:
        with closing(pq.ParquetFile(io.BytesIO(body))) as file:
            return file.read().select(schema.names).cast(schema)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise bucket.damaged(key, f"it is not Parquet with {', '.join(schema.names)}") from error
