"""`totesys local`: start and stop source, warehouse and AWS on this machine."""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click
import psycopg2
from psycopg2 import errors, extensions
from psycopg2.extras import wait_select
from totesys.errors import FatalError

from local_totesys import local as machine
from local_totesys.generator import SourceError
from local_totesys.postgres import PostgresError
from local_totesys.stack import ROOT, Stack, StackError
from operations.cli.attempt import Attempt, attempted
from operations.cli.exit_codes import FAILED
from operations.cli.options import examples

_STOPPED = "stopped before the end"


@click.group(epilog="LOCAL_DIR is the folder of all state, .local by default. Another folder is another stack, on other ports.")
def local() -> None:
    """Start and stop a local stack: source and warehouse on PostgreSQL, and AWS."""
    signal.signal(signal.SIGTERM, _interrupt)
    extensions.set_wait_callback(wait_select)  # Ctrl-C ends a long statement at once, not after its end


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def _stack() -> Iterator[Stack]:
    """Yield the stack of LOCAL_DIR. Its errors become a FatalError of one line."""
    try:
        yield Stack(Path(os.environ.get("LOCAL_DIR") or ROOT / ".local"))
    except errors.QueryCanceled as error:
        raise KeyboardInterrupt from error
    except (StackError, PostgresError, SourceError, psycopg2.Error, OSError) as error:
        raise FatalError(str(error).strip().splitlines()[0]) from error


@local.command(
    short_help="Start what is not running.",
    epilog=examples("scripts/totesys local up", "scripts/totesys local up --orders 800 --schedule"),
)
@click.option("--empty", is_flag=True, help="A new source gets its tables and no rows.")
@click.option("--orders", type=click.IntRange(min=1), metavar="N", help=f"Orders that a new source gets.  [default: {machine.ORDERS}]")
@click.option("--schedule", is_flag=True, help="Let SCHEDULED triggers fire.")
@attempted("local", interrupted=_STOPPED)
def up(attempt: Attempt, empty: bool, orders: int | None, schedule: bool) -> None:
    """Start the parts that are not running. Running parts keep their data. A part that has died is started again."""
    if empty and orders:
        raise click.UsageError("--empty and --orders exclude each other")
    with _stack() as stack:
        machine.up(stack, machine.fill(None if empty else orders or machine.ORDERS), schedule)
        attempt.has_started = True
        machine.show(stack)


@local.command(short_help="Stop everything, and delete its data.", epilog=examples("scripts/totesys local down"))
@attempted("local", interrupted=_STOPPED)
def down(attempt: Attempt) -> None:
    """Stop everything, and delete its data."""
    with _stack() as stack:
        attempt.has_started = True
        machine.down(stack)


@local.command("next-day", short_help="Simulate a business day at the source.", epilog=examples("scripts/totesys local next-day"))
@attempted("local", interrupted=_STOPPED)
def next_day(attempt: Attempt) -> None:
    """Simulate the weekday after the newest order: new orders, payments, edits and silent edits."""
    with _stack() as stack:
        print(machine.live_next_day(stack))


@local.command(short_help="Print the variables of the stack.", epilog=examples('eval "$(scripts/totesys local env)"'))
@attempted("local", interrupted=_STOPPED)
def env(attempt: Attempt) -> None:
    """Print export lines. With these variables, every command finds this stack."""
    with _stack() as stack:
        for name, value in machine.environment(stack).items():
            print(f"export {name}={shlex.quote(value)}")


@local.command(short_help="Show each part with its process and address.", epilog=examples("scripts/totesys local status"))
@attempted("local", interrupted=_STOPPED)
def status(attempt: Attempt) -> None:
    """Show each part with its process and address. Exits 1 when one is down.

    Kill a process to see how the pipeline recovers.
    """
    with _stack() as stack:
        if not machine.show(stack):
            attempt.exit_code = FAILED
