"""`totesys destroy`: remove everything that a deploy has created."""

from __future__ import annotations

import os

import click

from operations.aws import aws_session
from operations.cli.attempt import Attempt, attempted
from operations.cli.confirm import confirm
from operations.cli.console import make_console
from operations.cli.options import examples
from operations.deployment.deployment import project_name
from operations.deployment.destroy import Destroying
from operations.deployment.settings import settings


@click.command(epilog=examples("scripts/totesys destroy", "scripts/totesys destroy --keep-data --yes"))
@click.option("--keep-data", is_flag=True, help="Keep both data buckets, the catalog and the secrets for a later deploy.")
@click.option("--yes", is_flag=True, help="Do not ask for the project's name.")
@attempted("destroy")
def destroy(attempt: Attempt, keep_data: bool, yes: bool) -> None:
    """Remove the deployment that TOTESYS_PROJECT or TOTESYS_CONFIG names.

    That is its stacks, its buckets with every version in them, the catalog's databases and tables, secrets, and logs. The command
    waits for runs in progress. Source and warehouse stay as they are, with the pipeline's roles in them. Safe to run again.
    """
    destroying = Destroying(aws_session(), project_name(settings(os.environ)), keep_data, make_console())
    if destroying.stacks and not yes:
        what = "all but its data" if keep_data else "all of it, raw data included,"
        question = f"{what[0].upper()}{what[1:]} goes. Type the project's name, {destroying.project}, to remove it"
        confirm(f"{what} goes", question, destroying.project)
    attempt.has_started = True
    destroying.destroy()
