"""Collect everything that `status` shows about a deployment, as plain data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any

import boto3
import psycopg2
from sqlalchemy import Connection, NullPool, create_engine, func, select
from sqlalchemy.exc import SQLAlchemyError
from totesys.contracts import load_contracts
from totesys.errors import PipelineError, RetriableError
from totesys.lake.manifests import BatchManifest, Held, PublishManifest, newest_batch, newest_publish, read_batch
from totesys.lake.store import Bucket
from totesys.load.waiting_rows import count_waiting
from totesys.runtime.secrets import Credentials, read_credentials
from totesys.warehouse.models import reconciliation_table
from totesys.warehouse.state import loaded_through

from operations.dead_letters.letters import Letters
from operations.deployment.deployment import Deployment
from operations.deployment.stacks import STACKS, describe_stack
from operations.lake import publishes
from operations.workflows.display import JobState
from operations.workflows.runs import job_state

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_cloudwatch.type_defs import MetricAlarmTypeDef
    from mypy_boto3_glue import GlueClient

SHOWN = 5  # batches with rows
ON_EVENT = "ON EVENT"
PUBLISHES = 20  # the most that are read to find the one that the last successful load found
MOST = 50  # the most batches with rows that are read: a lost warehouse lacks every batch
_RUNS = 5  # of each job
_PATIENCE = 3  # seconds, with the warehouse


@dataclass(frozen=True)
class Batch:
    """A batch with rows, and how far it has come: landed, published or loaded."""

    seq: int
    read_at: datetime
    rows: int
    stage: str


@dataclass(frozen=True)
class Job:
    """A job's last runs, the newest first."""

    name: str
    runs: tuple[JobState, ...] = ()

    @property
    def failures(self) -> list[JobState]:
        """The runs that failed since the last success, the newest first. Runs in progress are ignored."""
        ended = (run for run in self.runs if run.is_failed or run.state == "SUCCEEDED")
        return list(takewhile(lambda run: run.is_failed, ended))


@dataclass(frozen=True)
class PipelineJobs:
    """The three jobs, in the order in which a change goes through them."""

    ingest: Job
    transform: Job
    load: Job

    def __iter__(self) -> Iterator[Job]:
        return iter((self.ingest, self.transform, self.load))


@dataclass(frozen=True)
class WarehouseStatus:
    """The answers of the warehouse.

    through      the newest batch that it holds; 0 before the first load
    waiting_rows rows that wait in it for their parents
    compared_at  when it was last compared with the source, and how many `differences` that found; None before the first comparison
    """

    through: int
    waiting_rows: int = 0
    compared_at: datetime | None = None
    differences: int = 0


@dataclass(frozen=True)
class NotAsked:
    """Why the warehouse did not answer. `is_refused`: its server refused. Otherwise it may only be unreachable from here."""

    reason: str
    is_refused: bool = False


@dataclass(frozen=True)
class Status:
    """Everything that is shown.

    read_at    when the source was last read; None before the first batch
    landed     the newest batch with rows; 0 before the first
    published  the newest batch in the processed bucket; 0 before the first
    warehouse  what the warehouse says, or why it cannot be asked from here
    loaded     the newest batch in the warehouse, as the warehouse says or, if it cannot be asked, as AWS shows; None when unknown
    batches    the newest batches with rows, newest first
    pending    the batches with rows that the warehouse does not hold, newest first; if there are MOST, there may be more
    fresh_to   the moment of the source that the warehouse shows; None before the first load, and when that is not known
    """

    version: str
    deployed_at: datetime
    triggers: dict[str, str]
    jobs: PipelineJobs
    read_at: datetime | None
    landed: int
    published: int
    warehouse: WarehouseStatus | NotAsked
    loaded: int | None
    batches: list[Batch]
    pending: list[Batch]
    fresh_to: datetime | None
    held: dict[str, Held]
    dead: dict[str, int]
    alarms: list[str]


def gather(session: boto3.Session, deployment: Deployment) -> Status:
    """Ask AWS and the warehouse."""
    stack: Any = describe_stack(session, f"{deployment.project}-jobs")  # never None: Deployment.read found every stack
    s3, glue = session.client("s3"), session.client("glue")
    ingestion, processed = Bucket(s3, deployment.ingestion_bucket), Bucket(s3, deployment.processed_bucket)
    newest, publish, jobs = newest_batch(ingestion), newest_publish(processed), last_runs(glue, deployment)
    published = publish.through_batch_seq if publish else 0
    warehouse = ask_warehouse(session, deployment)
    loaded = loaded_as_aws_shows(publishes(processed), jobs.load.runs) if isinstance(warehouse, NotAsked) else warehouse.through
    with_rows = last_batches(ingestion, newest, published if loaded is None else loaded)
    batches = [Batch(batch.seq, moment(batch), rows(batch), stage(batch.seq, published, loaded)) for batch in with_rows]
    pending = [] if loaded is None else [batch for batch in batches if batch.seq > loaded]
    return Status(
        version=next((output["OutputValue"] for output in stack.get("Outputs", ()) if output["OutputKey"] == "CodeVersion"), "unknown"),
        deployed_at=stack.get("LastUpdatedTime", stack["CreationTime"]),
        triggers={name: trigger_state(glue, name) for name in resources(session, deployment, "AWS::Glue::Trigger")},
        jobs=jobs,
        read_at=moment(newest) if newest else None,
        landed=newest.data_seq if newest else 0,
        published=published,
        warehouse=warehouse,
        loaded=loaded,
        batches=batches[:SHOWN],
        pending=pending,
        fresh_to=fresh_to(ingestion, newest, loaded, pending),
        held=newest.held if newest else {},
        dead=dead_letters(ingestion, newest),
        alarms=alarms(session.client("cloudwatch"), resources(session, deployment, "AWS::CloudWatch::Alarm"), has_run=newest is not None),
    )


def trigger_state(glue: GlueClient, name: str) -> str:
    """Return a trigger's state, or ON_EVENT for an EVENT trigger: Glue calls it CREATED for life, though it fires."""
    trigger = glue.get_trigger(Name=name)["Trigger"]
    return ON_EVENT if trigger["Type"] == "EVENT" else str(trigger["State"])


def resources(session: boto3.Session, deployment: Deployment, kind: str) -> list[str]:
    """The names of the deployment's resources of one kind."""
    client = session.client("cloudformation")
    described = [client.describe_stack_resources(StackName=f"{deployment.project}-{name}")["StackResources"] for name in STACKS]
    return [resource["PhysicalResourceId"] for stack in described for resource in stack if resource["ResourceType"] == kind]


def last_runs(glue: GlueClient, deployment: Deployment) -> PipelineJobs:
    """Return the last runs of each job, usually with one request per job. Glue returns the newest first, but a page may be shorter."""

    def of(job: str, workflow: str) -> Job:
        pages = glue.get_paginator("get_job_runs").paginate(JobName=job, PaginationConfig={"PageSize": _RUNS})
        newest = islice((run for page in pages for run in page["JobRuns"]), _RUNS)
        return Job(job, tuple(job_state(workflow, job, run) for run in newest))

    return PipelineJobs(
        of(deployment.ingest_job, deployment.ingest_workflow),
        of(deployment.transform_job, deployment.publish_workflow),
        of(deployment.load_job, deployment.publish_workflow),
    )


def last_batches(ingestion: Bucket, newest: BatchManifest | None, above: int) -> list[BatchManifest]:
    """Return the newest batches with rows, newest first: at least SHOWN, and all above number `above`, but no more than MOST."""
    found: list[BatchManifest] = []
    seq = newest.data_seq if newest else 0
    while seq and (len(found) < SHOWN or (seq > above and len(found) < MOST)):
        found.append(read_batch(ingestion, seq))
        seq = found[-1].previous_data_seq
    return found


def moment(batch: BatchManifest) -> datetime:
    """Return the time of the batch's snapshot."""
    return datetime.fromisoformat(batch.snapshot_at)


def rows(batch: BatchManifest) -> int:
    """Return how many rows the batch landed."""
    return sum(capture.rows for table, capture in batch.tables.items() if table not in batch.held)


def stage(seq: int, published: int, loaded: int | None) -> str:
    """Return how far a batch has come."""
    return "loaded" if loaded is not None and seq <= loaded else "published" if seq <= published else "landed"


def loaded_as_aws_shows(publishes: Iterator[PublishManifest], loads: Sequence[JobState]) -> int | None:
    """Return the newest batch of the publish that the last successful load found; 0 when no load has run.

    None when it is not known: no load in the list succeeded, or more than PUBLISHES publishes have come since.
    """
    if not loads:
        return 0
    succeeded = next((run for run in loads if run.state == "SUCCEEDED"), None)
    if succeeded is None:
        return None
    newer = 0
    for publish in islice(publishes, PUBLISHES):
        if datetime.fromisoformat(publish.published_at) <= succeeded.started_at:
            return publish.through_batch_seq
        newer += 1
    return 0 if newer < PUBLISHES else None


def fresh_to(ingestion: Bucket, newest: BatchManifest | None, loaded: int | None, pending: Sequence[Batch]) -> datetime | None:
    """Return the moment of the batch before the first pending one; of the newest batch when none is pending."""
    if newest is None or not loaded:
        return None
    if not pending:
        return moment(newest)
    return moment(read_batch(ingestion, loaded if len(pending) == MOST else pending[-1].seq - 1))


def dead_letters(ingestion: Bucket, newest: BatchManifest | None) -> dict[str, int]:
    """Return by table how many letters are open, without those that a person has discarded."""
    if newest is None:
        return {}
    letters = Letters(ingestion, newest)
    return {table: count for table in newest.tables if (count := len(letters.of(table).open))}


def alarms(cloudwatch: CloudWatchClient, names: Sequence[str], *, has_run: bool) -> list[str]:
    """Return the alarms that ring: in ALARM, or without data if the alarm is about missing data. Before the first run none has data."""
    if not names:
        return []
    pages = cloudwatch.get_paginator("describe_alarms").paginate(AlarmNames=list(names))
    found = [alarm for page in pages for alarm in page["MetricAlarms"]]
    return [alarm["AlarmName"] for alarm in found if alarm["StateValue"] == "ALARM" or (has_run and _is_about_missing_data(alarm))]


def _is_about_missing_data(alarm: MetricAlarmTypeDef) -> bool:
    return alarm["StateValue"] == "INSUFFICIENT_DATA" and alarm["ActionsEnabled"] and bool(alarm["InsufficientDataActions"])


def ask_warehouse(session: boto3.Session, deployment: Deployment) -> WarehouseStatus | NotAsked:
    """Return what the warehouse says, or why it cannot be asked, such as from outside its network."""
    try:
        credentials = read_credentials(session.client("secretsmanager"), deployment.warehouse_secret)
        return read_warehouse(credentials)
    except PipelineError as error:
        return NotAsked(str(error), is_refused=not isinstance(error, RetriableError))


def read_warehouse(credentials: Credentials) -> WarehouseStatus:
    """Ask the warehouse. PipelineError when it does not answer."""
    through = loaded_through(credentials)
    arguments = {**credentials.libpq(), "connect_timeout": _PATIENCE, "options": f"-c statement_timeout={_PATIENCE}s"}
    engine = create_engine("postgresql+psycopg2://", creator=lambda: psycopg2.connect(**arguments), poolclass=NullPool)
    try:
        with engine.connect() as connection:
            if not _is_prepared(connection):
                return WarehouseStatus(through)
            return WarehouseStatus(through, count_waiting(connection, load_contracts()), *_last_comparison(connection))
    except (psycopg2.Error, SQLAlchemyError) as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise RetriableError(f"the warehouse does not say how many rows wait in it and when it was last compared: {reason}") from error


def _is_prepared(connection: Connection) -> bool:
    """Whether a load has created its tables. It creates all of them in one transaction, so looking at one table is enough."""
    table = reconciliation_table()
    with connection.begin():
        return connection.scalar(select(func.to_regclass(f"{table.schema}.{table.name}"))) is not None


def _last_comparison(connection: Connection) -> tuple[datetime | None, int]:
    table = reconciliation_table()
    newest = select(table.c.reconciled_at, table.c.differences).order_by(table.c.reconciled_at.desc()).limit(1)
    with connection.begin():
        found = connection.execute(newest).first()
    return (found.reconciled_at, found.differences) if found else (None, 0)
