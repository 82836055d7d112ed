"""What ingest keeps out of the lake, and so out of the warehouse: held tables and single rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from totesys.ingest.dead_letters import load_open
from totesys.lake.manifests import Held, newest_batch
from totesys.lake.store import Bucket


@dataclass(frozen=True)
class KeptOut:
    """By source table, as of the newest batch: why it is held, and the keys whose newest version is a dead letter, with reasons."""

    held: Mapping[str, Held] = field(default_factory=dict)
    letters: Mapping[str, Mapping[int, str]] = field(default_factory=dict)


def read_kept_out(ingestion: Bucket) -> KeptOut:
    """Read all of it. A table's open letters are one small object."""
    batch = newest_batch(ingestion)
    if batch is None:
        return KeptOut()
    letters = {table: load_open(ingestion, capture.dead_letters) for table, capture in batch.tables.items() if capture.dead_letters}
    return KeptOut(batch.held, {table: dict(zip(rows["key"].to_pylist(), rows["reason"].to_pylist())) for table, rows in letters.items()})
