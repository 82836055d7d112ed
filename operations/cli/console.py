"""The console and the tables of all commands, readable on a terminal and in a log."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

Heading = tuple[str, JustifyMethod]  # of a column: its text, and "left" or "right"

LOG_WIDTH = 1000  # without a width, rich cuts the lines of a log at 80 characters


def make_console(stderr: bool = False) -> Console:
    """Return a console that does not guess colours, and does not cut lines when its output goes to a file or a pipe.

    With FORCE_COLOR, a file or pipe gets colours, but is still no terminal: no spinners, and lines of any length.
    """
    if (sys.stderr if stderr else sys.stdout).isatty():
        return Console(stderr=stderr, highlight=False)
    colours: Literal["standard"] | None = "standard" if os.environ.get("FORCE_COLOR") else None
    return Console(stderr=stderr, highlight=False, force_terminal=False, color_system=colours, width=LOG_WIDTH)


def make_table(columns: Sequence[Heading], rows: Iterable[Sequence[str | Text]], title: str | None = None) -> Table:
    """Return a table of these columns. Brackets in plain text are printed, and are no markup."""
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
    for heading, justify in columns:
        table.add_column(heading, justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return table


def print_json(value: object) -> None:
    """Print a command's answer as JSON on stdout. Moments are ISO 8601."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=_as_json))


def _as_json(value: object) -> str:
    return value.isoformat() if isinstance(value, (date, datetime)) else str(value)
