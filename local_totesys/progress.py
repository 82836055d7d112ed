"""Show progress on stderr, so that results stay clean: a live line on a terminal, one line per finished step in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


@contextmanager
def step(name: str) -> Iterator[Callable[[str], None]]:
    """Show the step `name` while the block runs. The yielded function shows what the step is doing now."""
    start = time.monotonic()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    # isatty is used instead of rich's own test: with FORCE_COLOR, rich treats a pipe as a terminal.
    with Progress(*columns, console=Console(stderr=True, highlight=False), transient=True, disable=not sys.stderr.isatty()) as live:
        task = live.add_task(name)
        yield lambda doing: live.update(task, description=f"{name}: {doing}")
    print(f"{name} is up after {time.monotonic() - start:.1f} s", file=sys.stderr)
