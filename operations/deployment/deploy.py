"""Deploy everything, in the order of dependencies. Safe to run again: what is up to date is not touched."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache

import boto3
from rich.console import Console
from rich.table import Table
from totesys.contracts import load_contracts
from totesys.lake.store import Bucket

from operations.cli.console import make_table
from operations.deployment.artifacts import collect_artifacts, present_artifacts
from operations.deployment.change_sets import deploy_stack
from operations.deployment.compatible import check_contracts
from operations.deployment.databases import pipeline_databases, set_credentials
from operations.deployment.deployment import Deployment, project_name
from operations.deployment.parameters import chosen_parameters, code_parameters
from operations.deployment.proof import prove_stack
from operations.deployment.register import register_tables
from operations.deployment.stacks import STACKS, describe_stack, stack_outputs
from operations.deployment.templates import Template, parameter_values
from operations.deployment.views import create_views
from operations.workflows.heartbeat import heartbeat_alarm
from operations.workflows.trigger import PAUSED, is_paused, schedule_trigger


class DeploySummary:
    """Shows the current step, and keeps the outcome of each step for the table at the end."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.steps: list[tuple[str, str, float]] = []

    @contextmanager
    def step(self, name: str) -> Iterator[list[str]]:
        """Run one step, which appends its outcome to the list."""
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


def deploy_all(session: boto3.Session, environment: Mapping[str, str], report: DeploySummary) -> Deployment:
    """Deploy everything, in the order of dependencies."""
    project = project_name(environment)
    chosen = chosen_parameters(environment)
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
        client = lru_cache(session.client)  # creating a client takes longer than a look-up
        proved = sum(prove_stack(client, f"{project}-{name}", Template.read(name), paused) for name in STACKS)
        outcome.append(f"{proved} resources are there, triggers activated" + (f"; {PAUSED}" if paused else ""))
    return deployment


def counted(outcomes: Mapping[str, int]) -> str:
    """Return how many there are of each outcome."""
    return ", ".join(f"{count} {what}" for what, count in sorted(outcomes.items()))
