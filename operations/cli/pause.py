"""`totesys pause`: the schedule is stopped, and nothing else."""

from __future__ import annotations

import click

from operations.aws import aws_session
from operations.cli.attempt import Attempt, attempted
from operations.cli.console import make_console
from operations.cli.options import examples
from operations.deployment.deployment import Deployment
from operations.workflows.pause import Pausing


@click.command(epilog=examples("scripts/totesys pause --wait"))
@click.option("--wait", is_flag=True, help="Wait until both workflows are idle.")
@attempted("pause")
def pause(attempt: Attempt, wait: bool) -> None:
    """Stop the schedule: ingest no longer starts by the clock, until `totesys resume`.

    A run in progress goes on to its end, and what has been announced is still loaded. `totesys run` works meanwhile, a deploy leaves the
    schedule paused, and no alarm tells of silence. Nothing is lost.
    """
    session = aws_session()
    pausing = Pausing(session, Deployment.read(session), make_console())
    attempt.has_started = True
    pausing.pause()
    if wait:
        pausing.wait()
