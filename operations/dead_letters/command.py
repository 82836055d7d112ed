"""The command behind scripts/deadletters.sh: what is kept out of the lake or of the warehouse, and what a person can do about it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import islice
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from totesys.contracts import load_contracts
from totesys.errors import FatalError, PipelineError
from totesys.lake.manifests import BatchManifest
from totesys.runtime.demands import Demands
from totesys.runtime.secrets import read_credentials

from operations.attempt import Attempt
from operations.console import make_console, make_table
from operations.dead_letters.discard import discard
from operations.dead_letters.letters import Letters
from operations.dead_letters.listing import COLUMNS, counted, discarded_line, held_lines, letter_lines, waiting_lines
from operations.dead_letters.waiting import Waiting, read_waiting
from operations.deployment import Deployment, aws_session, explain
from operations.lake import Lake
from operations.reconcile.databases import snapshot
from operations.run.report import matters, print_matters, print_outcome
from operations.run.tick import Tick
from operations.values import shortened


def main(argv: Sequence[str]) -> int:
    """0: done; 1: the run of a replay failed; 2: could not start, or could not look everywhere; 130: interrupted."""
    arguments = parse(argv)
    try:
        session = aws_session()
        deployment = Deployment.read(session)
        command = Command(session, deployment, Lake.open(session, deployment), make_console())
        if arguments.command == "replay":
            return command.replay(arguments.table)
        if arguments.command == "list":
            command.list()
        elif arguments.command == "show":
            command.show(arguments.table, arguments.key, arguments.limit)
        else:
            command.discard(arguments.table, arguments.key, arguments.reason)
    except (PipelineError, BotoCoreError, ClientError) as error:
        print(f"deadletters: {error if isinstance(error, PipelineError) else explain(error)}", file=sys.stderr)
        return 2
    return 0


def parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/deadletters.sh", description="Shows and settles what is kept out.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("list", help="held tables, rows in the dead letter, rows that wait in the warehouse; and what settles each")
    for name, text in (
        ("show", "the rows that are kept out of a table now, at most --limit N; with --key K one of them"),
        ("replay", "one run that reads the table in full, and judges its dead letters again"),
        ("discard", "says that the dead letter of --key K needs no more care, with --reason TEXT; the row stays out"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("table", metavar="TABLE", choices=list(load_contracts().source))
        if name in ("show", "discard"):
            command.add_argument("--key", type=int, metavar="K", required=name == "discard", help="the row's key")
        if name == "show":
            command.add_argument("--limit", type=_positive, default=20, metavar="N", help="how many rows at most; 20 if not given")
        if name == "discard":
            command.add_argument("--reason", type=_said, required=True, metavar="TEXT", help="why; it is kept with your name")
    return parser.parse_args(argv)


@dataclass(frozen=True)
class Command:
    """What one deployment keeps out."""

    session: Any
    deployment: Deployment
    lake: Lake
    console: Console

    def list(self) -> None:
        """One table of everything. What is in the lake is shown even when the warehouse cannot be asked, which is an error."""
        batch = self._newest()
        letters = Letters(self.lake.ingestion, batch)
        kept_out = {table: letters.of(table) for table in batch.tables}
        lines = [*held_lines({table: (why, letters.held_since(table)) for table, why in batch.held.items()}), *letter_lines(kept_out)]
        unreachable = None
        try:
            lines += waiting_lines(self._waiting())
        except PipelineError as error:
            unreachable = error
        if lines:
            self.console.print(make_table(COLUMNS, lines))
        else:
            self.console.print("nothing is kept out" + (" of the lake" if unreachable else ""))
        if line := discarded_line(kept_out):
            self.console.print(line)
        if unreachable:
            raise unreachable

    def show(self, table: str, key: int | None, limit: int) -> None:
        """The rows, readable: the only place that prints any."""
        batch = self._newest()
        letters = Letters(self.lake.ingestion, batch)
        found = ((letter, address) for letter, address in letters.read(table) if key is None or letter["key"] == key)
        shown = 0
        for letter, address in islice(found, limit):
            shown += 1
            self._say(f"{table} {letter['key']}: {letter['reason']}")
            self._say(f"  batch {letter['batch_seq']}, {letter['snapshot_at']}, contract version {letter['contract_version']}")
            row = {name: shortened(value) for name, value in letter["row"].items()}
            self._say(f"  {json.dumps(row, ensure_ascii=False, default=str)}")
            if row != letter["row"]:
                self._say(f"  in full: {address}")
        if more := sum(1 for _ in found):
            self._say(f"{counted(more)} more: --limit {shown + more}")
        if not shown:
            self._say(f"no row of {table}{'' if key is None else f' with key {key}'} is in the dead letter now")

    def replay(self, table: str) -> int:
        """One run, and what became of the letters; returns the exit code."""
        batch = self._newest()
        held = batch.held.get(table)
        if held and held.cause == "drift":
            raise FatalError(f"{table} is held, and that must be settled first: {held.cure}")
        before = {(letter.key, letter.source_xid) for letter in Letters(self.lake.ingestion, batch).of(table).open}
        if not before:
            self._say(f"no dead letter of {table} is open: nothing to read again")
            return 0
        with Attempt("deadletters") as attempt:
            tick = Tick(self.session, self.deployment, self.console)
            with tick.display:
                run_id = tick.start_ingest(Demands(replay=frozenset({table})))
                attempt.has_started = True
                outcome = tick.finish(run_id)
            print_outcome(self.console, outcome, tick.unknown() if outcome is None else "")
            print_matters(self.console, matters(tick.held_tables(), tick.news(), outcome.misses if outcome else {}))
            after = {(letter.key, letter.source_xid) for letter in Letters(self.lake.ingestion, self._newest()).of(table).open}
            self._say(f"{table}: {counted(len(before - after))} of {len(before):,} out of the dead letter, {len(after):,} in it now")
        return attempt.exit_code

    def discard(self, table: str, key: int, reason: str) -> None:
        """Leaves the trace of who, when and why."""
        letters = Letters(self.lake.ingestion, self._newest()).of(table)
        letter = next((letter for letter in (*letters.open, *letters.discarded) if letter.key == key), None)
        if letter is None:
            raise FatalError(f"{table} {key} is no open dead letter: scripts/deadletters.sh show {table} lists those that are")
        by = self.session.client("sts").get_caller_identity()["Arn"]
        self._say(discard(self.lake.ingestion, table, letter, reason, by, datetime.now(timezone.utc)))

    def _newest(self) -> BatchManifest:
        batch = self.lake.newest_batch()
        if batch is None:
            raise FatalError("no batch has landed yet: run scripts/run.sh")
        return batch

    def _waiting(self) -> Sequence[Waiting]:
        credentials = read_credentials(self.session.client("secretsmanager"), self.deployment.warehouse_secret)
        with snapshot(credentials, "warehouse") as warehouse:
            return tuple(read_waiting(warehouse, load_contracts()))

    def _say(self, line: str) -> None:
        self.console.print(line, markup=False, soft_wrap=True)


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text} is no number of rows")
    return int(text)


def _said(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("it says nothing")
    return text.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
