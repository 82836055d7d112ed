"""Start and stop the local stack, and say how to reach it: the work of `totesys local`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime, timedelta, timezone
from functools import partial

import psycopg2
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from local_aws.environment import past_proxies
from local_totesys import progress
from local_totesys.generator import generate
from local_totesys.next_day import next_day
from local_totesys.postgres import PostgresServer
from local_totesys.schema import create_source
from local_totesys.stack import DATABASES, PARTS, Prepare, Say, Stack, StackError

ORDERS = 16_000
SEED = 1
REGION = "eu-west-2"


def up(stack: Stack, fill_source: Prepare, schedule: bool) -> None:
    """Start the parts that are down. If a part cannot start, stop the parts that this command has started."""
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


def undo(stack: Stack, running: Sequence[str], kept: Sequence[str]) -> None:
    """Stop the parts that were not running before, and delete the parts that did not exist before."""
    for name in PARTS:
        if name not in running:
            stack.stop(name)
        if name not in kept:
            stack.forget(name)
    if not stack.parts:
        stack.remove()


def fill(orders: int | None) -> Prepare:
    """Return the function that prepares a new source: its tables, and this many orders until yesterday; None for no rows at all."""

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


def down(stack: Stack) -> None:
    """Stop everything and delete it. AWS holds its state in memory and loses it anyway, and a warehouse without its lake has no use."""
    if not stack.parts:
        print("Nothing is up.")
        return
    with stack.alone():
        stack.remove()
    print(f"Stopped; {stack.folder} is deleted.")


def environment(stack: Stack) -> dict[str, str]:
    """Return the environment variables with which every command finds the stack. StackError when a part is down."""
    missing = [name for name in PARTS if not stack.is_up(name)]
    if missing:
        raise StackError(f"the local stack is not up ({', '.join(missing)} down): run scripts/local.sh up")
    return {
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


def live_next_day(stack: Stack) -> str:
    """Change the source as one business day does. Return what happened, in one line."""
    if not stack.is_up("source"):
        raise StackError("the source is not up: run scripts/local.sh up")
    with closing(psycopg2.connect(stack.url("source"))) as connection:
        return str(next_day(connection))


def show(stack: Stack) -> bool:
    """Print a table of the parts. Return whether all are up."""
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
    return all(stack.is_up(name) for name in PARTS)
