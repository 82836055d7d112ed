"""Record that a person regards a dead letter as settled."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from totesys.lake import layout
from totesys.lake.formats import DISCARD, read_object, with_format
from totesys.lake.store import AlreadyThereError, Bucket

from operations.dead_letters.letters import Letter


def discard(ingestion: Bucket, table: str, letter: Letter, reason: str, by: str, now: datetime) -> str:
    """Record who discarded a letter, when and why, and return that as one line. A letter that is discarded already does not change."""
    trace: dict[str, Any] = {
        "table": table, "key": letter.key, "batch_seq": letter.batch_seq, "letter_reason": letter.reason,
        "discarded_by": by, "discarded_at": now.isoformat(timespec="seconds"), "reason": reason,
    }  # fmt: skip

    def told(trace: dict[str, Any]) -> str:
        return f"by {trace['discarded_by']} at {trace['discarded_at']}: {trace['reason']}"

    key = layout.discarded_key(table, letter.batch_seq, letter.key)
    try:
        ingestion.put_if_absent(key, json.dumps(with_format(DISCARD, trace), ensure_ascii=False).encode())
    except AlreadyThereError:
        return f"{table} {letter.key} is discarded already {read_object(ingestion, key, DISCARD, told)}"
    return f"{table} {letter.key} is discarded {told(trace)}"
