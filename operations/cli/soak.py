"""`totesys soak`: test with random histories and faults until the time is over."""

from __future__ import annotations

from importlib import import_module

import click

from operations.cli.attempt import Attempt, attempted
from operations.cli.options import examples


@click.command(epilog=examples("scripts/totesys soak --minutes 60", "scripts/totesys soak --seed 1764403200"))
@click.option("--minutes", type=click.FloatRange(min=0), metavar="N", help="How long.  [default: 10]")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    metavar="S",
    help="The seed of the first world of histories. Without --minutes, only that world is run: this repeats a failure.",
)
@attempted("soak", interrupted="stopped before the end")
def soak(attempt: Attempt, minutes: float | None, seed: int | None) -> None:
    """Test the whole pipeline with random histories and faults, and look for rows that are lost or duplicated.

    Exits 0 when there are none. Otherwise exits 1, and the last lines name the seed that repeats the failure. The soak starts its own
    PostgreSQL, AWS and Spark in a temporary folder, and stops them.
    """
    # by name: the soak is a test, and no other module imports the tests
    is_exact = import_module("tests.exactness.soak").soak(minutes, seed)
    attempt.exit_code = 0 if is_exact else 1
