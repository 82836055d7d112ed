"""`totesys pause`: stop the schedule."""

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
    """Stop the schedule, until `totesys resume`.

    A run in progress ends as usual, and batches that were announced are still loaded. During the pause, `totesys run` works, a deploy
    leaves the schedule paused, and the alarm no-heartbeat is muted. Nothing is lost.
    """
    session = aws_session()
    pausing = Pausing(session, Deployment.read(session), make_console())
    attempt.has_started = True
    pausing.pause()
    if wait:
        pausing.wait()
