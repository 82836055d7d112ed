"""Values of rows as commands print them: a long one is shortened in its middle."""

from __future__ import annotations

import json
from typing import Any

LONGEST = 200  # characters of a value that are printed whole
_END = 60  # characters that are left of a longer one, at its beginning and at its end


def shortened(value: Any) -> Any:
    """The value of a JSON row; in its place, when it is long, its beginning, its length and its end."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return value if len(text) <= LONGEST else shorten(text)


def shorten(text: str) -> str:
    """The text; when it is long, its beginning, its length and its end."""
    return text if len(text) <= LONGEST else f"{text[:_END]} ... {len(text):,} characters ... {text[-_END:]}"
