"""The command behind scripts/backfill.sh: the processed data anew from landed batches, and the warehouse from it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from totesys.contracts import load_contracts
from totesys.errors import FatalError
from totesys.lake.manifests import NO_PUBLISH, PublishManifest, read_publish
from totesys.runtime.demands import Demands

from operations.attempt import Attempt
from operations.console import make_console, make_table
from operations.deployment import Deployment, aws_session
from operations.lake import Lake, span
from operations.run.display import RunDisplay
from operations.run.workflows import Workflows

_DESCRIPTION = (
    "Makes the processed data anew from landed batches, and the warehouse from it, while both stay in use."
    " Facts get the same rows with new record ids."
)


def main(argv: Sequence[str]) -> int:
    """0: what was demanded is made anew and loaded; 1: failed, with the failed job's error; 2: could not start; 130: interrupted."""
    demands = parse_demands(argv)
    console = make_console()
    with Attempt("backfill") as attempt:
        session = aws_session()
        backfill = Backfill(session, Deployment.read(session), console)
        with backfill.display:
            run_id = backfill.start(demands)
            attempt.has_started = True
            backfill.finish(run_id)
        print_made_anew(console, backfill.made_anew())
    return attempt.exit_code


def parse_demands(argv: Sequence[str]) -> Demands:
    """What the options demand of the run; ends with exit code 2 when they are not understood."""
    contracts = load_contracts()
    parser = argparse.ArgumentParser(prog="scripts/backfill.sh", description=_DESCRIPTION)
    parser.add_argument(
        "--table",
        metavar="TABLE",
        choices=[*contracts.source, *contracts.warehouse],
        help="only what is made of this source table, or this warehouse table",
    )
    parser.add_argument(
        "--from", dest="from_batch", type=_batch_number, default=1, metavar="BATCH", help="keep what batches before this number brought"
    )
    arguments = parser.parse_args(argv)
    return Demands(backfill=True, backfill_table=arguments.table, backfill_from=arguments.from_batch)


class Backfill:
    """One backfill of one deployment. `display` shows every job that it waits for."""

    def __init__(self, session: Any, deployment: Deployment, console: Console) -> None:
        self.display = RunDisplay(console)
        self._workflows = Workflows(session.client("glue"), deployment, self.display)
        self._lake = Lake.open(session, deployment)
        self._before = NO_PUBLISH

    def start(self, demands: Demands) -> str:
        """Starts the publish workflow once no run of either workflow is in progress, and returns the run's id.

        FatalError, before it waits for anything, when no such batch has landed.
        """
        batch = self._lake.newest_batch()
        newest = batch.data_seq if batch else 0
        if not newest:
            raise FatalError("no batch with rows has landed yet, and there is nothing to make anew: scripts/run.sh brings the first")
        if demands.backfill_from > newest:
            raise FatalError(
                f"batch {demands.backfill_from} has not landed: the newest with rows is batch {newest}, --from takes 1 to {newest}"
            )
        while True:
            self._workflows.wait_for_others()
            self._before = self._lake.newest_publish()
            if run_id := self._workflows.start(self._workflows.publish, demands):
                return run_id

    def finish(self, run_id: str) -> None:
        """Follows the run to its end; RunFailedError when a job fails."""
        self._workflows.follow(self._workflows.publish, run_id)

    def made_anew(self) -> PublishManifest | None:
        """The publish of what was made anew: the first of the run; None when the run found nothing of it.

        It brings the lake no further than it was, unless the lake was lost. What waited beside it has a publish of its own.
        """
        publish = self._lake.newest_publish()
        if publish.seq == self._before.seq:
            return None
        while publish.previous_seq != self._before.seq:
            publish = read_publish(self._lake.processed, publish.previous_seq)
        return publish if publish.through_batch_seq == self._before.through_batch_seq or not self._before.seq else None


def print_made_anew(console: Console, publish: PublishManifest | None) -> None:
    """Each table of the lake with partitions that the publish made anew, and the rows in them."""
    if publish is None:
        console.print("nothing was made anew: those batches had not been published before, and are in now")
        return
    rows, total = [], 0
    for database, tables in (("mirror", publish.mirror), ("star", publish.star)):
        for table, partitions in tables.items():
            made = [state.rows for state in partitions.values() if state.publish_seq == publish.seq]
            if made:
                rows.append([database, table, f"{len(made):,}", f"{sum(made):,}"])
                total += sum(made)
    console.print(make_table([("database", "left"), ("table", "left"), ("partitions", "right"), ("rows", "right")], rows))
    batches = span(publish.batches[0][0], publish.batches[-1][0])
    console.print(f"made anew from {batches}, and loaded: {total:,} rows in {len(rows)} tables")


def _batch_number(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no batch number: they are 1, 2, 3 and so on")
    return int(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
