"""`totesys deadletters`: show what is kept out of the lake or the warehouse, and settle it."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from itertools import islice

import boto3
import click
from totesys.errors import FatalError

from operations.aws import aws_session
from operations.cli.attempt import Attempt, attempted
from operations.cli.console import Heading, make_console, make_table, print_json
from operations.cli.options import examples, json_option, source_table
from operations.cli.run import matters_of, print_matters, print_outcome, tell_matters
from operations.dead_letters.discard import discard as discard_letter
from operations.dead_letters.letters import Letters
from operations.dead_letters.listing import list_kept_out
from operations.dead_letters.replay import Replay
from operations.deployment.deployment import Deployment
from operations.lake import Lake
from operations.values import counted, shortened

_COLUMNS: list[Heading] = [("source table", "left"), ("what", "left"), ("since batch", "right"), ("what settles it", "left")]


@click.group()
def deadletters() -> None:
    """Show and settle what is kept out: held tables, dead letters, rows that wait."""


def _open() -> tuple[boto3.Session, Deployment, Lake]:
    session = aws_session()
    deployment = Deployment.read(session)
    return session, deployment, Lake.open(session, deployment)


@deadletters.command("list", short_help="List what is kept out, and what settles it.", epilog=examples("scripts/totesys deadletters list"))
@json_option
@attempted("deadletters")
def list_all(attempt: Attempt, as_json: bool) -> None:
    """List held tables, rows in the dead letter and rows that wait in the warehouse, with what settles each.

    Exits 1 when the warehouse cannot be asked, after it has listed what is in the lake.

    \b
    With --json: {"kept_out": [{"table", "what", "since_batch", "cure"}],
    "discarded": {TABLE: rows}}
    """
    session, deployment, lake = _open()
    listing = list_kept_out(session, deployment, lake, lake.expect_batch())
    attempt.has_started = True
    if as_json:
        print_json({"kept_out": [vars(line) for line in listing.lines], "discarded": listing.discarded})
    else:
        console = make_console()
        if listing.lines:
            rows = [[line.table, line.what, str(line.since_batch), line.cure] for line in listing.lines]
            console.print(make_table(_COLUMNS, rows))
        else:
            console.print("nothing is kept out" + (" of the lake" if listing.unreachable else ""))
        if listing.discarded:
            console.print(f"discarded, and still not in: {', '.join(f'{rows} of {table}' for table, rows in listing.discarded.items())}")
    if listing.unreachable:
        raise listing.unreachable


@deadletters.command(
    short_help="Show the rows in a table's dead letter.",
    epilog=examples("scripts/totesys deadletters show payment", "scripts/totesys deadletters show payment --key 7"),
)
@click.argument("table", type=source_table(), metavar="TABLE")
@click.option("--key", type=int, metavar="K", help="Only the row of this key.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, metavar="N", help="How many rows at most.")
@json_option
@attempted("deadletters")
def show(attempt: Attempt, table: str, key: int | None, limit: int, as_json: bool) -> None:
    """Show the rows that are kept out of a table now. No other command prints rows.

    \b
    With --json: {"letters": [{"table", "key", "reason", "contract_version", "batch_seq",
    "at", "row", "address": the object with the letter}], "more": rows beyond --limit}
    """
    _, _, lake = _open()
    letters = Letters(lake.ingestion, lake.expect_batch())
    found = ((letter, address) for letter, address in letters.read(table) if key is None or letter["key"] == key)
    shown = list(islice(found, limit))
    more = sum(1 for _ in found)
    if as_json:
        print_json({"letters": [{**letter, "address": address} for letter, address in shown], "more": more})
        return
    for letter, address in shown:
        _say(f"{table} {letter['key']}: {letter['reason']}")
        _say(f"  batch {letter['batch_seq']}, {letter['snapshot_at']}, contract version {letter['contract_version']}")
        row = {name: shortened(value) for name, value in letter["row"].items()}
        _say(f"  {json.dumps(row, ensure_ascii=False, default=str)}")
        if row != letter["row"]:
            _say(f"  in full: {address}")
    if more:
        _say(f"{counted(more)} more: --limit {len(shown) + more}")
    if not shown:
        _say(f"no row of {table}{'' if key is None else f' with key {key}'} is in the dead letter now")


@deadletters.command(
    short_help="Read a table again, and judge its dead letters.", epilog=examples("scripts/totesys deadletters replay payment")
)
@click.argument("table", type=source_table(), metavar="TABLE")
@attempted("deadletters")
def replay(attempt: Attempt, table: str) -> None:
    """Run one tick that reads the table in full and judges its dead letters again.

    Do this after the rows were corrected at the source, or after a deploy of a contract that allows them.
    """
    session, deployment, lake = _open()
    console = make_console()
    again = Replay(session, deployment, lake, table, console)
    if not again.before:
        _say(f"no dead letter of {table} is open: nothing to read again")
        return
    with again.tick.display:
        run_id = again.start()
        attempt.has_started = True
        outcome = again.finish(run_id)
    problems = matters_of(again.tick, outcome)
    print_outcome(console, outcome, again.tick.unknown() if outcome is None else "")
    print_matters(console, problems)
    tell_matters("deadletters", problems)
    out, left = again.outcome()
    _say(f"{table}: {counted(out)} of {len(again.before):,} out of the dead letter, {left:,} in it now")


def _reason(context: click.Context, parameter: click.Parameter, text: str) -> str:
    if not text.strip():
        raise click.BadParameter("it says nothing")
    return text.strip()


@deadletters.command(
    short_help="Mark a dead letter as settled.",
    epilog=examples('scripts/totesys deadletters discard payment --key 7 --reason "a test order"'),
)
@click.argument("table", type=source_table(), metavar="TABLE")
@click.option("--key", type=int, required=True, metavar="K", help="The row's key.")
@click.option("--reason", required=True, metavar="TEXT", callback=_reason, help="Why. It is kept with your name.")
@attempted("deadletters")
def discard(attempt: Attempt, table: str, key: int, reason: str) -> None:
    """Mark a dead letter as settled. The row stays out. Who did it, when and why is recorded."""
    session, _, lake = _open()
    letters = Letters(lake.ingestion, lake.expect_batch()).of(table)
    letter = next((letter for letter in (*letters.open, *letters.discarded) if letter.key == key), None)
    if letter is None:
        raise FatalError(f"{table} {key} is no open dead letter: scripts/totesys deadletters show {table} lists those that are")
    by = session.client("sts").get_caller_identity()["Arn"]
    _say(discard_letter(lake.ingestion, table, letter, reason, by, datetime.now(timezone.utc)))


def _say(line: str) -> None:
    make_console().print(line, markup=False, soft_wrap=True)
