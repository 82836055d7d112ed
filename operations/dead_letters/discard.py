"""A person's word that a dead letter needs no more care."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from totesys.lake import layout
from totesys.lake.store import AlreadyThereError, Bucket

from operations.dead_letters.letters import Letter


def discard(ingestion: Bucket, table: str, letter: Letter, reason: str, by: str, now: datetime) -> str:
    """Leaves the trace, and says so in one line: who, when and why. The first word stands; a second one changes nothing."""
    trace: dict[str, Any] = {
        "table": table, "key": letter.key, "batch_seq": letter.batch_seq, "letter_reason": letter.reason,
        "by": by, "at": now.isoformat(timespec="seconds"), "reason": reason,
    }  # fmt: skip
    key, said = layout.discarded_key(table, letter.batch_seq, letter.key), "is discarded"
    try:
        ingestion.put_if_absent(key, json.dumps(trace, ensure_ascii=False).encode())
    except AlreadyThereError:
        trace, said = ingestion.get_json(key), "is discarded already"
    try:
        return f"{table} {letter.key} {said} by {trace['by']} at {trace['at']}: {trace['reason']}"
    except (KeyError, TypeError) as error:
        raise ingestion.damaged(key, "it does not say who discarded the letter, when and why") from error
