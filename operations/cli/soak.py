"""`totesys soak`: random histories and faults, until the time is over."""

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
    help="The seed of the first world of histories. Without --minutes, that world alone, whole: so a failure is seen again.",
)
@attempted("soak", interrupted="stopped before the end")
def soak(attempt: Attempt, minutes: float | None, seed: int | None) -> None:
    """Let random histories and faults loose on the whole pipeline, and look for rows that are lost or there twice.

    Exits 0 when there are none, and 1 when there are: the last lines name the seed that shows it again. Starts PostgreSQL, AWS and Spark
    of its own in a temporary folder, and stops them.
    """
    # By name: the soak is a test, and nothing else of ours knows the tests.
    is_exact = import_module("tests.exactness.soak").soak(minutes, seed)
    attempt.exit_code = 0 if is_exact else 1
