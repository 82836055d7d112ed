"""Run `python -m local_totesys`: fill a totesys with data, or add a business day."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from datetime import date, datetime, timedelta, timezone

import psycopg2
from psycopg2 import errors, extensions
from psycopg2.extras import wait_select

from local_totesys.generator import SourceError, generate
from local_totesys.next_day import next_day


def parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local_totesys", description="Data for a local totesys.")
    commands = parser.add_subparsers(dest="command", required=True)
    fill = commands.add_parser("generate", help="fill the tables of an empty source")
    fill.add_argument("--orders", type=int, default=16_000, help="sales and purchase orders together (default %(default)s)")
    fill.add_argument("--seed", type=int, default=1, help="the same seed, size and last day give the same rows (default %(default)s)")
    fill.add_argument("--until", type=date.fromisoformat, default=yesterday(), help="last day of the history (default: yesterday in UTC)")
    live = commands.add_parser("next-day", help="add the weekday after the newest order")
    live.add_argument("--seed", type=int, help="seed of the day's events (default: each day has its own)")
    for command in (fill, live):
        command.add_argument("--url", required=True, help="URL of the source, as in $TOTESYS_SOURCE_URL")
    return parser.parse_args(argv)


def yesterday() -> date:
    return datetime.now(timezone.utc).date() - timedelta(days=1)


def main(argv: Sequence[str]) -> int:
    arguments = parse(argv)
    try:
        connection = psycopg2.connect(arguments.url)
    except psycopg2.OperationalError as error:
        print(f"the source cannot be reached: {str(error).strip()}", file=sys.stderr)
        return 1
    try:
        if arguments.command == "generate":
            print_generated(connection, arguments.orders, arguments.seed, arguments.until)
        else:
            print(next_day(connection, arguments.seed))
    except (KeyboardInterrupt, errors.QueryCanceled):
        print("stopped before the end", file=sys.stderr)
        return 1
    except (SourceError, psycopg2.Error) as error:
        print(str(error).strip(), file=sys.stderr)
        return 1
    finally:
        connection.close()
    return 0


def print_generated(connection: extensions.connection, orders: int, seed: int, until: date) -> None:
    """Fill the source. Print each step on stderr when it begins, and then the rows of each table."""
    start = time.monotonic()

    def say(step: str) -> None:
        print(f"{time.monotonic() - start:6.1f} s  {step}", file=sys.stderr, flush=True)

    counts = generate(connection, orders, seed, until, say)
    for table, rows in counts.items():
        print(f"{table:<16}{rows:>12,}")
    print(f"{sum(counts.values()):,} rows until {until} in {time.monotonic() - start:.1f} s")


if __name__ == "__main__":
    extensions.set_wait_callback(wait_select)  # Ctrl-C stops a long statement at once.
    sys.exit(main(sys.argv[1:]))
