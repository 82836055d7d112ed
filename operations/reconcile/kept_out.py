"""What ingest keeps out of the lake, and with it out of the warehouse: tables that are held, and single rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from totesys.ingest.dead_letters import load_open
from totesys.lake.manifests import Held, newest_batch
from totesys.lake.store import Bucket


@dataclass(frozen=True)
class KeptOut:
    """As of the newest batch, by source table: why it is held; and of the keys whose newest version is a dead letter, the reasons."""

    held: Mapping[str, Held] = field(default_factory=dict)
    letters: Mapping[str, Mapping[int, str]] = field(default_factory=dict)


def read_kept_out(ingestion: Bucket) -> KeptOut:
    """All of it: a table's open letters are one small object."""
    batch = newest_batch(ingestion)
    if batch is None:
        return KeptOut()
    letters = {table: load_open(ingestion, capture.dead_letters) for table, capture in batch.tables.items() if capture.dead_letters}
    return KeptOut(batch.held, {table: dict(zip(rows["key"].to_pylist(), rows["reason"].to_pylist())) for table, rows in letters.items()})
