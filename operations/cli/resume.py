"""`totesys resume`: start the schedule again."""

from __future__ import annotations

import click

from operations.aws import aws_session
from operations.cli.attempt import Attempt, attempted
from operations.cli.console import make_console
from operations.cli.options import examples
from operations.deployment.deployment import Deployment
from operations.workflows.resume import resume_schedule


@click.command(epilog=examples("scripts/totesys resume"))
@attempted("resume")
def resume(attempt: Attempt) -> None:
    """Start the schedule again after `totesys pause`, and say what is pending.

    The next tick loads everything that changed during the pause.
    """
    session = aws_session()
    deployment = Deployment.read(session)
    attempt.has_started = True
    make_console().print(resume_schedule(session, deployment), markup=False)
