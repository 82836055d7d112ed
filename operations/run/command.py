"""The command behind scripts/run.sh: one tick through both workflows, shown as it goes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from totesys.contracts import load_contracts
from totesys.runtime.demands import Demands

from operations.attempt import Attempt
from operations.console import make_console
from operations.deployment import Deployment, aws_session
from operations.run.report import matters, print_matters, print_outcome
from operations.run.tick import Tick


def main(argv: Sequence[str]) -> int:
    """0: all that waited is loaded, or nothing was new; 1: failed, with the failed job's error; 2: could not start; 130: interrupted."""
    demands = parse_demands(argv)
    console = make_console()
    with Attempt("run") as attempt:
        session = aws_session()
        tick = Tick(session, Deployment.read(session), console)
        with tick.display:
            run_id = tick.start_ingest(demands)
            attempt.has_started = True
            outcome = tick.finish(run_id)
        print_outcome(console, outcome, tick.unknown() if outcome is None else "")
        print_matters(console, matters(tick.held_tables(), tick.news(), outcome.misses if outcome else {}))
    return attempt.exit_code


def parse_demands(argv: Sequence[str]) -> Demands:
    """What the options demand of the run; ends with exit code 2 when they are not understood."""
    parser = argparse.ArgumentParser(prog="scripts/run.sh", description="Runs one tick through both workflows, and waits.")
    parser.add_argument("--full", action="store_true", help="read every table in full, instead of what has changed")
    parser.add_argument(
        "--accept-deletes",
        action="append",
        default=[],
        metavar="TABLE",
        choices=list(load_contracts().source),
        help="accept that any number of rows are gone from this source table, which else holds it back; can be given again",
    )
    arguments = parser.parse_args(argv)
    return Demands(full=arguments.full, accept_deletes=frozenset(arguments.accept_deletes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
