"""Deploys the pipeline, to AWS or to a local stack by the environment alone. Safe to run again: what is as it should be is not touched."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.table import Table
from totesys.contracts import load_contracts
from totesys.errors import FatalError, PipelineError
from totesys.secrets import Credentials
from totesys.store import Bucket

from operations.console import make_console, make_table
from operations.deploy.artifacts import upload_artifacts
from operations.deploy.compatible import check_contracts
from operations.deploy.databases import pipeline_databases, set_credentials
from operations.deploy.proof import prove_stack
from operations.deploy.register import register_tables
from operations.deploy.stacks import Template, deploy_stack, parameter_values, variable
from operations.deploy.views import create_views
from operations.deployment import STACKS, Deployment, aws_session, describe_stack, explain, project_name, stack_outputs
from operations.schedule.trigger import PAUSED, is_paused, schedule_trigger

LOG_GROUPS = {f"/aws-glue/{kind}/{stream}" for kind in ("python-jobs", "jobs") for stream in ("output", "error")}
TLS = ("require", "verify-ca", "verify-full")
NETWORK = ("SubnetId", "SecurityGroupId", "AvailabilityZone")


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


def main() -> int:
    """0 deployed; 1 not, and the last line says why. All that can be chosen is in the environment."""
    console = make_console()
    try:
        report = Report(console)
        deployment = deploy(aws_session(), os.environ, report)
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
    network = check_network(environment)
    session.client("sts").get_caller_identity()  # Before anything: is AWS there, and does it know us?
    paused = {schedule_trigger(project)} if is_paused(session.client("glue"), project) else set()

    def stack(name: str, known: Mapping[str, str]) -> None:
        template = Template.read(name)
        with report.step(f"stack {project}-{name}") as outcome:
            parameters = parameter_values(template, {"Project": project, **known}, environment)
            outcome.append(deploy_stack(session, f"{project}-{name}", template, parameters))

    if describe_stack(session, f"{project}-catalog"):
        with report.step("contracts") as outcome:  # before anything changes: code and tables come from the same contracts
            outputs = stack_outputs(session, f"{project}-catalog")
            registered = {"ingestion": outputs["IngestionDatabase"], "processed": outputs["ProcessedDatabase"]}
            differing = check_contracts(session.client("glue"), load_contracts(), registered, environment)
            outcome.append(f"{differing} to be registered anew" if differing else "as registered")
    stack("storage", {})
    stack("secrets", {})
    credentials = {}
    for database in pipeline_databases(project):
        with report.step(f"credentials of the {database.name}") as outcome:
            credentials[database.name], changed = set_credentials(session.client("secretsmanager"), database, environment)
            outcome.append(f"{changed}: role {credentials[database.name].username} in {credentials[database.name].place}")
    stack("catalog", {})
    stack("alerts", {})
    stack("roles", {"InVpc": flag(network)})
    with report.step("code of the jobs") as outcome:
        bucket = Bucket(session.client("s3"), stack_outputs(session, f"{project}-storage")["ArtifactsBucket"])
        artifacts = upload_artifacts(bucket)
        outcome.append(f"{artifacts.uploaded} files uploaded" if artifacts.uploaded else "unchanged")
    settings = {
        "SourceJdbcUrl": jdbc_url(credentials["source"]),
        "WarehouseJdbcUrl": jdbc_url(credentials["warehouse"]),
        "EnforceTls": flag(all(own.sslmode in TLS for own in credentials.values())),
        "CreateLogGroups": flag(may_create_log_groups(session, f"{project}-jobs")),
    }
    stack("jobs", {**artifacts.parameters(), **settings})
    stack("workflows", {})

    deployment = Deployment.read(session, project)
    with report.step("tables of the Data Catalog") as outcome:
        databases = {
            "ingestion": deployment.ingestion_database, "current": deployment.current_database, "processed": deployment.processed_database,
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


def check_network(environment: Mapping[str, str]) -> bool:
    """Whether the jobs run in a VPC; FatalError when only part of it is given."""
    given = [variable(parameter) for parameter in NETWORK if environment.get(variable(parameter))]
    if given and len(given) < len(NETWORK):
        raise FatalError(f"{' and '.join(given)} set alone: set all of {', '.join(map(variable, NETWORK))}, or none of them")
    return bool(given)


def jdbc_url(credentials: Credentials) -> str:
    """Where a database is, without credentials."""
    return f"jdbc:postgresql://{credentials.host}:{credentials.port}/{credentials.dbname}"


def flag(value: bool) -> str:
    """A boolean as a template's parameter."""
    return str(value).lower()


def may_create_log_groups(session: boto3.Session, jobs_stack: str) -> bool:
    """Whether Glue's log groups are the stack's, or nobody's yet: an account's other jobs may have made them."""
    if describe_stack(session, jobs_stack):
        resources = session.client("cloudformation").describe_stack_resources(StackName=jobs_stack)["StackResources"]
        present = [resource for resource in resources if not resource["ResourceStatus"].startswith("DELETE")]
        if present:
            return any(resource["ResourceType"] == "AWS::Logs::LogGroup" for resource in present)
    pages = session.client("logs").get_paginator("describe_log_groups").paginate(logGroupNamePrefix="/aws-glue/")
    return LOG_GROUPS.isdisjoint(group["logGroupName"] for page in pages for group in page["logGroups"])


if __name__ == "__main__":
    sys.exit(main())
