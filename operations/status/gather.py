"""What there is to say about a deployment, asked for once and then plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import boto3
import psycopg2
from sqlalchemy import NullPool, create_engine
from sqlalchemy.exc import SQLAlchemyError
from totesys.contracts import load_contracts
from totesys.errors import PipelineError
from totesys.load.waiting_rows import count_waiting
from totesys.manifests import BatchManifest, Held, batches_after
from totesys.secrets import read_credentials

from operations.dead_letters.letters import Letters
from operations.deploy.stacks import VERSION_TAG
from operations.deployment import STACKS, Deployment, describe_stack
from operations.lake import Lake
from operations.run.display import JobState
from operations.run.workflows import job_state

_SHOWN = 5  # batches with rows
_PATIENCE = 3  # seconds, with the warehouse


@dataclass(frozen=True)
class Batch:
    """A batch with rows, and how far it has come: landed, published or loaded."""

    seq: int
    read_at: datetime
    rows: int
    stage: str


@dataclass(frozen=True)
class Status:
    """Everything that is shown.

    runs          the newest run of each job that has run
    read_at       when the source was last read; None before the first batch
    fresh_to      of which moment the warehouse is; None before the first load, or when it cannot be asked from here
    waiting       batches with rows that the warehouse does not hold; None when it cannot be asked from here
    waiting_rows  rows that wait in the warehouse for their parents; None when it cannot be asked from here
    """

    version: str
    deployed_at: datetime
    triggers: dict[str, str]
    runs: list[JobState]
    batches: list[Batch]
    read_at: datetime | None
    fresh_to: datetime | None
    waiting: int | None
    held: dict[str, Held]
    dead: dict[str, int]
    alarms: list[str]
    waiting_rows: int | None


def gather(session: boto3.Session, deployment: Deployment) -> Status:
    """Asks AWS, and the warehouse."""
    stack: Any = describe_stack(session, f"{deployment.project}-jobs")
    lake = Lake.open(session, deployment)
    newest, loaded = lake.newest_batch(), loaded_through(lake)
    waiting = [] if loaded is None else batches_after(lake.ingestion, loaded)
    published, glue = lake.newest_publish().through_batch_seq, session.client("glue")
    return Status(
        version=next((tag["Value"] for tag in stack.get("Tags", ()) if tag["Key"] == VERSION_TAG), "unknown"),
        deployed_at=stack.get("LastUpdatedTime", stack["CreationTime"]),
        triggers={name: glue.get_trigger(Name=name)["Trigger"]["State"] for name in resources(session, deployment, "AWS::Glue::Trigger")},
        runs=last_runs(glue, deployment),
        batches=[Batch(batch.seq, moment(batch), rows(batch), stage(batch.seq, published, loaded)) for batch in last_batches(lake, newest)],
        read_at=moment(newest) if newest else None,
        fresh_to=None if loaded is None else fresh_to(lake, newest, waiting),
        waiting=None if loaded is None else len(waiting),
        held=newest.held if newest else {},
        dead=dead_letters(lake, newest),
        alarms=alarms(session.client("cloudwatch"), resources(session, deployment, "AWS::CloudWatch::Alarm")),
        waiting_rows=waiting_rows(session, deployment),
    )


def loaded_through(lake: Lake) -> int | None:
    """The newest batch that the warehouse holds; None when it cannot be asked from here."""
    try:
        return lake.loaded_through()
    except PipelineError:
        return None


def resources(session: boto3.Session, deployment: Deployment, kind: str) -> list[str]:
    """The names of the deployment's resources of one kind."""
    client = session.client("cloudformation")
    described = [client.describe_stack_resources(StackName=f"{deployment.project}-{name}")["StackResources"] for name in STACKS]
    return [resource["PhysicalResourceId"] for stack in described for resource in stack if resource["ResourceType"] == kind]


def last_runs(glue: Any, deployment: Deployment) -> list[JobState]:
    """The newest run of each job that has run, in the order in which a change passes them."""
    jobs = {
        deployment.ingest_job: deployment.ingest_workflow,
        deployment.transform_job: deployment.publish_workflow,
        deployment.load_job: deployment.publish_workflow,
    }
    answers = {job: glue.get_job_runs(JobName=job, MaxResults=1)["JobRuns"] for job in jobs}
    return [job_state(jobs[job], job, run) for job, runs in answers.items() for run in runs]


def last_batches(lake: Lake, newest: BatchManifest | None) -> list[BatchManifest]:
    """The newest batches with rows, newest first."""
    found: list[BatchManifest] = []
    seq = newest.data_seq if newest else 0
    while seq and len(found) < _SHOWN:
        found.append(lake.batch(seq))
        seq = found[-1].previous_data_seq
    return found


def moment(batch: BatchManifest) -> datetime:
    """When the source was what the batch says."""
    return datetime.fromisoformat(batch.snapshot_at)


def rows(batch: BatchManifest) -> int:
    """Rows that the batch landed."""
    return sum(capture.rows for table, capture in batch.tables.items() if table not in batch.held)


def stage(seq: int, published: int, loaded: int | None) -> str:
    """How far a batch has come."""
    return "loaded" if loaded is not None and seq <= loaded else "published" if seq <= published else "landed"


def fresh_to(lake: Lake, newest: BatchManifest | None, waiting: Sequence[BatchManifest]) -> datetime | None:
    """The moment of the batch before the first one that waits; of the newest one when none does."""
    if newest is None or not waiting:
        return moment(newest) if newest else None
    return moment(lake.batch(waiting[0].seq - 1)) if waiting[0].seq > 1 else None


def dead_letters(lake: Lake, newest: BatchManifest | None) -> dict[str, int]:
    """How many letters of a table are open, without those that a person has discarded."""
    if newest is None:
        return {}
    letters = Letters(lake.ingestion, newest)
    return {table: count for table in newest.tables if (count := len(letters.of(table).open))}


def alarms(cloudwatch: Any, names: Sequence[str]) -> list[str]:
    """Those of the alarms that are in ALARM."""
    if not names:
        return []
    pages = cloudwatch.get_paginator("describe_alarms").paginate(AlarmNames=list(names))
    return [alarm["AlarmName"] for page in pages for alarm in page["MetricAlarms"] if alarm["StateValue"] == "ALARM"]


def waiting_rows(session: boto3.Session, deployment: Deployment) -> int | None:
    """Rows that wait in the warehouse; None when it is not reached soon, or has not been loaded yet."""
    try:
        credentials = read_credentials(session.client("secretsmanager"), deployment.warehouse_secret)
        arguments = {**credentials.libpq(), "connect_timeout": _PATIENCE, "options": f"-c statement_timeout={_PATIENCE}s"}
        engine = create_engine("postgresql+psycopg2://", creator=lambda: psycopg2.connect(**arguments), poolclass=NullPool)
        with engine.connect() as connection:
            return count_waiting(connection, load_contracts())
    except (PipelineError, psycopg2.Error, SQLAlchemyError):
        return None
