"""`totesys deploy`: deploy the pipeline to AWS or to a local stack. The environment decides which."""

from __future__ import annotations

import os
from pathlib import Path

import click

from operations.aws import aws_session
from operations.cli.attempt import Attempt, attempted
from operations.cli.console import make_console
from operations.cli.options import examples
from operations.deployment.deploy import DeploySummary, deploy_all
from operations.deployment.deployment import project_name
from operations.deployment.plan import Plan, has_changes, plan_table
from operations.deployment.settings import CONFIG, settings
from operations.deployment.templates import check_config

_ENVIRONMENT = """
\b
Environment:
  AWS_REGION, AWS_PROFILE, ...  as for every AWS tool
  TOTESYS_CONFIG                the config file, for every command; a variable
                                TOTESYS_<KEY> wins over the file's key
  TOTESYS_SOURCE_URL            postgresql://user:password@host:port/dbname of
  TOTESYS_WAREHOUSE_URL         the source and of the warehouse. If the URL's role
                                may create roles, the deploy creates a role for
                                the pipeline. Otherwise the URL's role is used. A
                                URL without a password keeps what the secret
                                <project>/source or <project>/warehouse holds.
  TOTESYS_SOURCE_CA             path of a file (PEM) with the certificates of the
  TOTESYS_WAREHOUSE_CA          authorities that sign the server's certificate:
                                every connection then verifies the server
  TOTESYS_ACCEPT_BREAKING       tables, with commas between, whose contracts may
                                break their readers in this deploy
"""


@click.command(
    epilog=examples("scripts/deploy.sh --plan", "scripts/deploy.sh --config totesys.toml", "scripts/totesys deploy") + "\n" + _ENVIRONMENT
)
@click.option("--config", metavar="FILE", help="The config file, like totesys.example.toml; instead of TOTESYS_CONFIG.")
@click.option("--plan", is_flag=True, help="Show what would change, and change nothing.")
@attempted("deploy", interrupted="interrupted; deploy again to finish")
def deploy(attempt: Attempt, config: str | None, plan: bool) -> None:
    """Deploy to AWS, or to a local stack when AWS_ENDPOINT_URL is set.

    Creates or updates stacks, code, credentials, catalog tables and views, and then checks that all of them are there. Safe to run again.
    scripts/deploy.sh installs what this command needs, and then calls it.
    """
    console = make_console()
    environment = settings({**os.environ, **({CONFIG: config} if config else {})})
    if environment.get(CONFIG):
        check_config(Path(environment[CONFIG]))
    session = aws_session()
    project = project_name(environment)
    session.client("sts").get_caller_identity()  # first: can AWS be reached, and are the credentials valid?
    attempt.has_started = True
    if plan:
        rows = Plan(session, environment).rows()
        console.print(plan_table(project, rows))
        if not has_changes(rows):
            console.print("no changes")
        return
    report = DeploySummary(console)
    deployment = deploy_all(session, environment, report)
    console.print(report.table(deployment))
