"""Shorten long values of rows where commands print them."""

from __future__ import annotations

import json
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
