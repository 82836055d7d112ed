"""`scripts/local.sh`: brings the local stack up and down, and tells how to reach it."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from types import FrameType

import psycopg2
from psycopg2 import errors, extensions
from psycopg2.extras import wait_select
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from local_aws.environment import past_proxies
from local_totesys import progress
from local_totesys.generator import SourceError, generate
from local_totesys.next_day import next_day
from local_totesys.postgres import PostgresError, PostgresServer
from local_totesys.schema import create_source
from local_totesys.stack import DATABASES, PARTS, Prepare, Say, Stack, StackError

ORDERS = 16_000
SEED = 1
REGION = "eu-west-2"


def parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/local.sh",
        description="The whole machine: totesys and the warehouse on PostgreSQL, and AWS. Its state is in LOCAL_DIR (default .local).",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="up|down|next-day|env|status")
    up = commands.add_parser("up", help="start what is not running", description="Starts what is not running; what is keeps its data.")
    size = up.add_mutually_exclusive_group()
    size.add_argument("--empty", action="store_true", help="a new source gets its tables and no rows")
    size.add_argument("--orders", type=int, default=ORDERS, help="orders that a new source gets (default %(default)s)")
    up.add_argument("--schedule", action="store_true", help="let SCHEDULED triggers fire")
    commands.add_parser("down", help="stop everything and delete its data")
    commands.add_parser("next-day", help="live the weekday after the newest order: orders, payments, edits")
    commands.add_parser("env", help='print export lines: eval "$(scripts/local.sh env)"')
    commands.add_parser("status", help="show each part; exits 1 when one is down")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Runs one command. 0 done; 1 not, with one line about why, or a part is down."""
    arguments = parse(argv)
    stack = Stack(Path(os.environ["LOCAL_DIR"]))
    try:
        if arguments.command == "up":
            return up(stack, fill(None if arguments.empty else arguments.orders), arguments.schedule)
        if arguments.command == "down":
            return down(stack)
        if arguments.command == "next-day":
            return live_next_day(stack)
        if arguments.command == "env":
            return env(stack)
        return status(stack)
    except (KeyboardInterrupt, errors.QueryCanceled):
        print("local: stopped before the end", file=sys.stderr)
    except (StackError, PostgresError, SourceError, psycopg2.Error, OSError) as error:
        print(f"local: error: {str(error).strip().splitlines()[0]}", file=sys.stderr)
    return 1


def interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def up(stack: Stack, fill_source: Prepare, schedule: bool) -> int:
    """Starts the parts that are down. When one cannot start, those that this command has started are stopped again."""
    with stack.alone():
        running = [name for name in PARTS if stack.is_up(name)]
        if "aws" in running and stack.parts["aws"]["schedule"] != schedule:
            raise StackError("AWS is up, and its schedule is fixed until it stops: run scripts/local.sh down first")
        kept = [name for name, part in stack.parts.items() if part.get("ready")]
        steps = {
            "source": partial(stack.start_database, "source", fill_source),
            "warehouse": partial(stack.start_database, "warehouse", lambda server, say: None),
            "aws": partial(stack.start_aws, schedule),
        }
        try:
            for name, start in steps.items():
                if name not in running:
                    with progress.step(name) as say:
                        start(say)
        except BaseException:
            undo(stack, running, kept)
            raise
    if len(running) == len(PARTS):
        print("Everything is up already.")
    return status(stack)


def undo(stack: Stack, running: Sequence[str], kept: Sequence[str]) -> None:
    """Stops what was not running before, and deletes what did not exist before."""
    for name in PARTS:
        if name not in running:
            stack.stop(name)
        if name not in kept:
            stack.forget(name)
    if not stack.parts:
        stack.remove()


def fill(orders: int | None) -> Prepare:
    """What makes a new source: its tables, and so many orders until yesterday; None for no rows at all."""

    def prepare(server: PostgresServer, say: Say) -> None:
        connection = server.connect(DATABASES["source"])
        try:
            create_source(connection)
            if orders is not None:
                yesterday = datetime.now(timezone.utc).date() - timedelta(days=1)
                generate(connection, orders, SEED, yesterday, lambda step: say(f"generating {orders:,} orders: {step}"))
        finally:
            connection.close()

    return prepare


def down(stack: Stack) -> int:
    """Stops everything and deletes it: AWS is in memory and gone anyway, and a warehouse without its lake would be of no use."""
    if not stack.parts:
        print("Nothing is up.")
        return 0
    with stack.alone():
        stack.remove()
    print(f"Stopped; {stack.folder} is deleted.")
    return 0


def env(stack: Stack) -> int:
    """Prints what eval needs. StackError when a part is down, and nothing printed."""
    missing = [name for name in PARTS if not stack.is_up(name)]
    if missing:
        raise StackError(f"the local stack is not up ({', '.join(missing)} down): run scripts/local.sh up")
    variables = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL": stack.url("aws"),
        "TOTESYS_SOURCE_URL": stack.url("source"),
        "TOTESYS_WAREHOUSE_URL": stack.url("warehouse"),
        "LOCAL_DIR": str(stack.folder),
        **past_proxies(),
    }
    for name, value in variables.items():
        print(f"export {name}={shlex.quote(value)}")
    return 0


def live_next_day(stack: Stack) -> int:
    """Changes the source as a day of business does, and says what happened."""
    if not stack.is_up("source"):
        raise StackError("the source is not up: run scripts/local.sh up")
    with closing(psycopg2.connect(stack.url("source"))) as connection:
        print(next_day(connection))
    return 0


def status(stack: Stack) -> int:
    """Prints a table of the parts. 0 when all are up."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("part", "state", "pid", "address", "up since (UTC)"):
        table.add_column(heading, overflow="fold")
    for name in PARTS:
        part = stack.parts.get(name, {})
        if not stack.is_up(name):
            table.add_row(name, "down")
            continue
        address = f"127.0.0.1:{part['port']}" + (f"/{DATABASES[name]}" if name in DATABASES else "")
        schedule = " with schedule" if part.get("schedule") else ""
        table.add_row(name, f"up{schedule}", str(part["pid"]), address, part["since"])
    # A pipe has no width, and rich would cut lines at 80 characters. With FORCE_COLOR, rich would treat a pipe as a terminal.
    console = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, force_terminal=False, width=1000)
    console.print(table)
    if stack.parts:
        console.print(f"Logs are in {stack.logs}.")
    return 0 if all(stack.is_up(name) for name in PARTS) else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, interrupt)
    extensions.set_wait_callback(wait_select)  # Ctrl-C ends a long statement at once, rather than after it.
    sys.exit(main(sys.argv[1:]))
