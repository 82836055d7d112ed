"""`scripts/smoke.sh`: test an AWS account with a deployment of its own."""

from __future__ import annotations

import os
import secrets
import signal
from types import FrameType

import click

from operations.aws import aws_session
from operations.cli.attempt import Attempt, attempted
from operations.cli.confirm import confirm
from operations.cli.console import make_console
from operations.cli.options import examples
from operations.deployment.settings import settings
from operations.smoke.databases import Databases
from operations.smoke.smoke import Smoke


@click.command(epilog=examples("scripts/smoke.sh --yes"))
@click.option("--yes", is_flag=True, help="Do not ask before a design of the source is changed, and changed back.")
@attempted("smoke", interrupted="interrupted; the table above says what was removed")
def smoke(attempt: Attempt, yes: bool) -> None:
    """Prove an account: deploy under a name of its own, run, check, and remove everything again.

    Renames one design of the source between two runs, reconciles, asks Athena, and raises an alert. Everything is removed also after
    Ctrl-C or a failure. The report holds no secret, and can be pasted into a bug report. TOTESYS_SOURCE_URL must name a source
    for tests and TOTESYS_WAREHOUSE_URL an empty database, each with a password.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    session = aws_session()
    project = f"totesys-smoke-{secrets.token_hex(3)}"
    environment = {**settings(os.environ), "TOTESYS_PROJECT": project}
    databases = Databases(project, environment)
    session.client("sts").get_caller_identity()
    databases.check()
    if not yes:
        question = "One design of the source is renamed, and gets its name back at the end. Type yes"
        confirm("a design of the source may be changed and changed back", question, "yes")
    attempt.has_started = True
    Smoke(session, project, databases, environment, make_console()).test()


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    smoke(prog_name="scripts/smoke.sh")
