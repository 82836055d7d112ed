"""Ask a person before something is removed or changed."""

from __future__ import annotations

import sys

from totesys.errors import FatalError


def confirm(what: str, question: str, answer: str) -> None:
    """Raise FatalError unless a person at the terminal answers the question with `answer`. `what` is what needs the confirmation."""
    if not sys.stdin.isatty():
        raise FatalError(f"nobody is here to confirm that {what}: say --yes")
    if input(f"{question}: ") != answer:
        raise FatalError("not confirmed: nothing was done")
