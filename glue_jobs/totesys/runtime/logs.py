"""What jobs say: one JSON object per line, with the same fields in every job, and never a value of a row or a secret."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

FIELDS = ("batch", "table", "event", "rows", "seconds")


def log_fields(event: str, metrics: Mapping[str, float] | None = None, **fields: Any) -> dict[str, Any]:
    """The `extra` of a log call: what happened, in a word or two, and of FIELDS what is known. `metrics` are counted (metrics.py)."""
    return {"event": event, "metrics": metrics or {}, **fields}


class JsonLines(logging.Formatter):
    """A line of JSON per record: time (UTC, ISO 8601), level, job, run, FIELDS (null when they say nothing), message."""

    def __init__(self, job: str, run: str | None) -> None:
        super().__init__()
        self.job = job
        self.run = run

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        known = {name: getattr(record, name, None) for name in FIELDS}
        line = {"time": at, "level": record.levelname, "job": self.job, "run": self.run, **known, "message": record.getMessage()}
        return json.dumps(line, default=str, ensure_ascii=False)
