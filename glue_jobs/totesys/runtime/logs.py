"""Write the jobs' logs: one JSON object per line, with the same fields in every job. A log never contains a row's value or a secret."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

FIELDS = ("batch", "table", "event", "rows", "seconds")


def log_fields(event: str, metrics: Mapping[str, float] | None = None, **fields: Any) -> dict[str, Any]:
    """Return the `extra` of a log call: the event in a word or two, and the known FIELDS. `metrics` are counted (metrics.py)."""
    return {"event": event, "metrics": metrics or {}, **fields}


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON: time (UTC, ISO 8601), level, job, run, FIELDS (null if unknown), message."""

    def __init__(self, job: str, run: str | None) -> None:
        super().__init__()
        self.job = job
        self.run = run

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        known = {name: getattr(record, name, None) for name in FIELDS}
        line = {"time": at, "level": record.levelname, "job": self.job, "run": self.run, **known, "message": record.getMessage()}
        return json.dumps(line, default=str, ensure_ascii=False)
