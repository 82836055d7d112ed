"""Open dead letters as ingest keeps them."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq
from totesys.ingest.dead_letters import OPEN


def parquet(letters: Sequence[tuple[int, int, int, str]]) -> bytes:
    """Open letters as ingest keeps them: key, source_xid, batch_seq, reason."""
    body = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([dict(zip(OPEN.names, letter)) for letter in letters], OPEN), body)
    return body.getvalue()
