"""`scripts/demo.sh`: demonstrate the whole pipeline on a local stack."""

from __future__ import annotations

import click

from operations.cli.attempt import Attempt, attempted
from operations.cli.console import make_console
from operations.demo.demo import Demo


@click.command()
@click.option("--orders", type=click.IntRange(min=1), required=True)
@attempted("demo", interrupted="stopped before the end")
def demo(attempt: Attempt, orders: int) -> None:
    """Play the demo. Exits 0 when the change has arrived and the warehouse matches the source."""
    attempt.has_started = True
    Demo(make_console()).play(str(orders))


if __name__ == "__main__":
    demo(prog_name="scripts/demo.sh")
