"""Numbers, ages and long values as commands print them."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

LONGEST = 200  # a value of up to so many characters is printed whole
_END = 60  # characters that are kept of a longer value, at its beginning and at its end


def shortened(value: Any) -> Any:
    """Return a value of a JSON row; a long value becomes a text of its beginning, its length and its end."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return value if len(text) <= LONGEST else shorten(text)


def shorten(text: str) -> str:
    """Return the text; of a long text only its beginning, its length and its end."""
    return text if len(text) <= LONGEST else f"{text[:_END]} ... {len(text):,} characters ... {text[-_END:]}"


def counted(rows: int) -> str:
    """Return a number of rows in words."""
    return f"{rows:,} row{'' if rows == 1 else 's'}"


def age(then: datetime, now: datetime) -> str:
    """Return how long ago a moment was, in words."""
    seconds = max(0, int((now - then).total_seconds()))
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}s"
    return f"{seconds} second{'' if seconds == 1 else 's'}"
