"""Deploys the pipeline, to AWS or to a local stack by the environment alone. Safe to run again: what is as it should be is not touched."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.table import Table
from totesys.contracts import load_contracts
from totesys.errors import PipelineError
from totesys.lake.store import Bucket

from operations.console import make_console, make_table
from operations.deploy.artifacts import collect_artifacts, present_artifacts
from operations.deploy.compatible import check_contracts
from operations.deploy.databases import pipeline_databases, set_credentials
from operations.deploy.parameters import chosen_parameters, code_parameters
from operations.deploy.plan import Plan, has_changes, plan_table
from operations.deploy.proof import prove_stack
from operations.deploy.register import register_tables
from operations.deploy.stacks import Template, check_config, deploy_stack, parameter_values
from operations.deploy.views import create_views
from operations.deployment import STACKS, Deployment, aws_session, describe_stack, explain, project_name, stack_outputs
from operations.schedule.heartbeat import heartbeat_alarm
from operations.schedule.trigger import PAUSED, is_paused, schedule_trigger
from operations.settings import CONFIG, settings

_DESCRIPTION = "Deploys to AWS, or to a local stack when AWS_ENDPOINT_URL is set: stacks, code, credentials, catalog tables."
_EPILOG = """
  AWS_REGION, AWS_PROFILE, ...  as for every AWS tool
  TOTESYS_CONFIG                the config file, for every command; a variable TOTESYS_<KEY> is in the place of its key
  TOTESYS_SOURCE_URL            postgresql://user:password@host:port/dbname of totesys, and of the warehouse:
  TOTESYS_WAREHOUSE_URL         a role that may create roles gets the pipeline one of its own; any other is used as it is.
                                Without a password, what the secret <project>/source or <project>/warehouse holds is kept.
  TOTESYS_SOURCE_CA             path of a file (PEM) with the certificates of the authorities that sign the server's certificate,
  TOTESYS_WAREHOUSE_CA          such as the vendor's bundle of one region: every connection then verifies the server (verify-full)
  TOTESYS_ACCEPT_BREAKING       tables, with commas between, whose contracts may break their readers in this deploy
"""


class Report:
    """Says what runs and since when, and keeps each step's outcome for the table at the end."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.steps: list[tuple[str, str, float]] = []

    @contextmanager
    def step(self, name: str) -> Iterator[list[str]]:
        """Around one step, which puts its outcome into the list it is given."""
        outcome: list[str] = []
        began = time.monotonic()
        with self.console.status(f"{name}, since {datetime.now():%H:%M:%S}"):
            yield outcome
        seconds = time.monotonic() - began
        self.steps.append((name, outcome[0], seconds))
        self.console.print(f"deploy: {datetime.now():%H:%M:%S} {name}: {outcome[0]} ({seconds:.1f} s)", markup=False, soft_wrap=True)

    def table(self, deployment: Deployment) -> Table:
        where = deployment.endpoint or f"AWS {deployment.region}"
        rows = [(name, outcome, f"{seconds:.1f}") for name, outcome, seconds in self.steps]
        rows.append(("in all", "", f"{sum(seconds for _, _, seconds in self.steps):.1f}"))
        return make_table([("step", "left"), ("outcome", "left"), ("seconds", "right")], rows, title=f"{deployment.project} on {where}")


def main(argv: Sequence[str]) -> int:
    """0 deployed, or the plan is shown; 1 not, and the last line says why."""
    parser = argparse.ArgumentParser(
        prog="scripts/deploy.sh", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", metavar="FILE", help="what is chosen, as totesys.example.toml shows; the same as TOTESYS_CONFIG")
    parser.add_argument("--plan", action="store_true", help="show what would change, and change nothing")
    arguments = parser.parse_args(argv)
    console = make_console()
    try:
        environment = settings({**os.environ, **({CONFIG: arguments.config} if arguments.config else {})})
        if environment.get(CONFIG):
            check_config(Path(environment[CONFIG]))
        if arguments.plan:
            rows = Plan(aws_session(), environment).rows()
            console.print(plan_table(project_name(environment), rows))
            if not has_changes(rows):
                console.print("no changes")
            return 0
        report = Report(console)
        deployment = deploy(aws_session(), environment, report)
        console.print(report.table(deployment))
    except PipelineError as error:
        return failed(str(error))
    except (BotoCoreError, ClientError) as error:
        return failed(explain(error))
    return 0


def failed(reason: str) -> int:
    print(f"deploy: error: {reason}", file=sys.stderr)
    return 1


def deploy(session: boto3.Session, environment: Mapping[str, str], report: Report) -> Deployment:
    """Everything in the order in which it depends on each other."""
    project = project_name(environment)
    chosen = chosen_parameters(environment)
    session.client("sts").get_caller_identity()  # Before anything: is AWS there, and does it know us?
    paused = {schedule_trigger(project), heartbeat_alarm(project)} if is_paused(session.client("glue"), project) else set()

    def stack(name: str, known: Mapping[str, str]) -> None:
        template = Template.read(name)
        with report.step(f"stack {project}-{name}") as outcome:
            parameters = parameter_values(template, {**chosen, **known}, environment)
            outcome.append(deploy_stack(session, f"{project}-{name}", template, parameters))

    with report.step("contracts") as outcome:  # before anything changes: code and tables come from the same contracts
        outputs = stack_outputs(session, f"{project}-catalog") if describe_stack(session, f"{project}-catalog") else None
        registered = {"ingestion": outputs["IngestionDatabase"], "star": outputs["StarDatabase"]} if outputs else None
        differing = check_contracts(session.client("glue"), load_contracts(), registered, environment)
        outcome.append("all new" if registered is None else f"{differing} to be registered again" if differing else "as registered")
    stack("storage", {})
    stack("secrets", {})
    credentials = {}
    for database in pipeline_databases(project):
        with report.step(f"credentials of the {database.name}") as outcome:
            credentials[database.name], changed = set_credentials(session.client("secretsmanager"), database, environment)
            outcome.append(f"{changed}: role {credentials[database.name].username} in {credentials[database.name].place}")
    stack("catalog", {})
    stack("alerts", {})
    stack("roles", {})
    with report.step("code of the jobs") as outcome:
        bucket = Bucket(session.client("s3"), stack_outputs(session, f"{project}-storage")["ArtifactsBucket"])
        artifacts = collect_artifacts(bucket.name, present_artifacts(bucket), bucket.upload)
        outcome.append(f"{len(artifacts.new)} files uploaded" if artifacts.new else "unchanged")
    stack("jobs", code_parameters(session, project, artifacts, credentials))
    stack("workflows", {})
    stack("alarms", {})
    stack("dashboard", {})

    deployment = Deployment.read(session, project)
    with report.step("tables of the Data Catalog") as outcome:
        databases = {
            "ingestion": deployment.ingestion_database, "mirror": deployment.mirror_database, "star": deployment.star_database,
        }  # fmt: skip
        buckets = (deployment.ingestion_bucket, deployment.processed_bucket)
        outcome.append(counted(register_tables(session.client("glue"), load_contracts(), databases, *buckets)))
    with report.step("views of Athena") as outcome:
        outcome.append(counted(create_views(session, deployment, load_contracts())))
    with report.step("proof") as outcome:
        client = lru_cache(session.client)  # making one takes longer than a look-up
        proved = sum(prove_stack(client, f"{project}-{name}", Template.read(name), paused) for name in STACKS)
        outcome.append(f"{proved} resources are there, triggers activated" + (f"; {PAUSED}" if paused else ""))
    return deployment


def counted(outcomes: Mapping[str, int]) -> str:
    """How many there are of each outcome."""
    return ", ".join(f"{count} {what}" for what, count in sorted(outcomes.items()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
