"""Ask AWS for what the report shows. Requests and manifests are few, however many batches exist. The warehouse is not asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

import boto3
from totesys.contracts import Contract, load_contracts
from totesys.errors import FatalError
from totesys.lake.manifests import BatchManifest, PublishManifest, newest_batch, newest_publish, read_batch, read_publish
from totesys.lake.store import Bucket
from totesys.runtime.metrics import NAMESPACE

from operations.dead_letters.letters import Letters
from operations.deployment.deployment import Deployment
from operations.deployment.stacks import describe_stack
from operations.reconcile.comparison import DIFFERENCES
from operations.registry.changes import changes
from operations.registry.registered import registered_versions
from operations.report.model import Asked, Dead, Node, Registered, Report, ReportedBatch, ReportedPoint, Workflow
from operations.status.gather import alarms, loaded_as_aws_shows, moment, stage
from operations.workflows.display import JobState
from operations.workflows.runs import job_state

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_cloudwatch.type_defs import DimensionTypeDef, MetricDataQueryTypeDef
    from mypy_boto3_glue import GlueClient
    from mypy_boto3_glue.type_defs import NodeTypeDef, TriggerTypeDef

BATCHES = 200  # the most batches with rows that are read
RUNS = 200  # of each job; the most that Glue returns at once
_REASONS = 3  # the most frequent ones of a table's dead letters
_KEPT_FOR = ((timedelta(days=15), 60), (timedelta(days=63), 300))  # how long CloudWatch keeps points of so many seconds
_COARSEST = 3600  # seconds


class Requests:
    """Counts the requests that the clients of a session send. Make it before the first client."""

    def __init__(self, session: boto3.Session) -> None:
        self.count = 0
        session.events.register("before-call", self._sent)

    def _sent(self, **_: Any) -> None:
        self.count += 1


class Manifests:
    """Reads manifests and counts them."""

    def __init__(self, ingestion: Bucket, processed: Bucket) -> None:
        self._ingestion = ingestion
        self._processed = processed
        self.count = 0
        self.newest_batch = self._counted(newest_batch(ingestion))
        self.newest_publish = self._counted(newest_publish(processed))

    def _counted(self, manifest: Any) -> Any:
        self.count += manifest is not None
        return manifest

    def batches(self) -> Iterator[BatchManifest]:
        """Yield the batches with rows, newest first. Of batches without rows, only the newest is read."""
        newest: BatchManifest | None = self.newest_batch
        seq = newest.data_seq if newest else 0
        while seq:
            batch = newest if newest and newest.seq == seq else self._counted(read_batch(self._ingestion, seq))
            yield batch
            seq = batch.previous_data_seq

    def publishes(self) -> Iterator[PublishManifest]:
        """Yield the publishes, newest first."""
        publish: PublishManifest | None = self.newest_publish
        while publish:
            yield publish
            publish = self._counted(read_publish(self._processed, publish.previous_seq)) if publish.previous_seq else None


def gather(session: boto3.Session, deployment: Deployment, requests: Requests, now: datetime) -> Report:
    """Ask for everything. FatalError when the deployment's stacks, buckets or jobs are not there."""
    glue, s3, cloudwatch = session.client("glue"), session.client("s3"), session.client("cloudwatch")
    ingestion = Bucket(s3, deployment.ingestion_bucket)
    manifests = Manifests(ingestion, Bucket(s3, deployment.processed_bucket))
    newest: BatchManifest | None = manifests.newest_batch
    publish: PublishManifest | None = manifests.newest_publish
    published = publish.through_batch_seq if publish else 0
    stack: Any = describe_stack(session, f"{deployment.project}-jobs")  # never None: Deployment.read found every stack
    runs = last_runs(glue, deployment)
    loaded = loaded_as_aws_shows(manifests.publishes(), runs["load"])
    batches = tuple(shown(batch, published, loaded) for batch in islice(manifests.batches(), BATCHES))
    since = min((*(batch.read_at for batch in batches[-1:]), now - timedelta(hours=1)))
    metrics = points(cloudwatch, deployment.project, since, now)
    waiting_rows = metrics["WaitingRows"]
    return Report(
        project=deployment.project,
        place=deployment.endpoint or deployment.region,
        made_at=now,
        version=next((output["OutputValue"] for output in stack.get("Outputs", ()) if output["OutputKey"] == "CodeVersion"), "unknown"),
        deployed_at=stack.get("LastUpdatedTime", stack["CreationTime"]),
        workflows=tuple(workflow(glue, name, runs) for name in (deployment.ingest_workflow, deployment.publish_workflow)),
        read_at=moment(newest) if newest else None,
        landed=newest.data_seq if newest else 0,
        published=published,
        loaded=loaded,
        batches=batches,
        freshness=metrics["Freshness"],
        runs=runs,
        work={job: metrics[job] for job in runs},
        held=newest.held if newest else {},
        drift=newest.drift if newest else {},
        dead=tuple(dead_letters(ingestion, newest)),
        parents=int(waiting_rows[-1].value) if waiting_rows else None,
        alarms=tuple(alarms(cloudwatch, alarm_names(session, deployment), has_run=newest is not None)),
        compared=last_comparison(cloudwatch, deployment.project, now),
        contracts=tuple(contracts(glue, deployment, publish)),
        asked=Asked(requests.count, manifests.count),
    )


def last_runs(glue: GlueClient, deployment: Deployment) -> dict[str, tuple[JobState, ...]]:
    """Return the last runs of each job, newest first, usually with one request per job."""

    def of(job: str, workflow: str) -> tuple[JobState, ...]:
        pages = glue.get_paginator("get_job_runs").paginate(JobName=job, PaginationConfig={"PageSize": RUNS})
        return tuple(job_state(workflow, job, run) for run in islice((run for page in pages for run in page["JobRuns"]), RUNS))

    return {
        "ingest": of(deployment.ingest_job, deployment.ingest_workflow),
        "transform": of(deployment.transform_job, deployment.publish_workflow),
        "load": of(deployment.load_job, deployment.publish_workflow),
    }


def shown(batch: BatchManifest, published: int, loaded: int | None) -> ReportedBatch:
    """Return what the page shows of a batch. A held table has no rows in it: its entry in the manifest is that of an earlier batch."""
    captured = {table: capture for table, capture in batch.tables.items() if table not in batch.held and capture.rows}
    return ReportedBatch(
        batch.seq, moment(batch), {table: capture.rows for table, capture in captured.items()}, tuple(sorted(batch.held)),
        tuple(table for table, capture in captured.items() if capture.mode == "full"), stage(batch.seq, published, loaded),
    )  # fmt: skip


def points(cloudwatch: CloudWatchClient, project: str, since: datetime, now: datetime) -> dict[str, tuple[ReportedPoint, ...]]:
    """Return the values of the pipeline's metrics since then, oldest first, usually in one request; of StageSeconds by job."""
    period = next((seconds for kept, seconds in _KEPT_FOR if now - since < kept), _COARSEST)
    wanted: dict[str, tuple[str, str | None]] = {"Freshness": ("Freshness", None), "WaitingRows": ("WaitingRows", None)}
    wanted |= {job: ("StageSeconds", job) for job in ("ingest", "transform", "load")}
    queries: list[MetricDataQueryTypeDef] = [
        {
            "Id": name.lower(),
            "Label": name,
            "MetricStat": {
                "Metric": {"Namespace": NAMESPACE, "MetricName": metric, "Dimensions": _dimensions(project, job)},
                "Period": period,
                "Stat": "Maximum",
            },
        }
        for name, (metric, job) in wanted.items()
    ]
    found: dict[str, list[ReportedPoint]] = {name: [] for name in wanted}
    pages = cloudwatch.get_paginator("get_metric_data").paginate(
        MetricDataQueries=queries, StartTime=since - timedelta(seconds=period), EndTime=now + timedelta(seconds=period)
    )
    for page in pages:
        for result in page["MetricDataResults"]:
            found[result["Label"]] += [ReportedPoint(at, value) for at, value in zip(result["Timestamps"], result["Values"], strict=True)]
    return {name: tuple(sorted(values, key=lambda point: point.at)) for name, values in found.items()}


def last_comparison(cloudwatch: CloudWatchClient, project: str, now: datetime) -> ReportedPoint | None:
    """Return when the warehouse was last compared with the source, to the minute, and the differences found; None without one lately."""
    kept, period = _KEPT_FOR[0]
    query: MetricDataQueryTypeDef = {
        "Id": "compared",
        "MetricStat": {
            "Metric": {"Namespace": NAMESPACE, "MetricName": DIFFERENCES, "Dimensions": _dimensions(project, None)},
            "Period": period,
            "Stat": "Maximum",
        },
    }
    end = now + timedelta(seconds=period)
    [found] = cloudwatch.get_metric_data(MetricDataQueries=[query], StartTime=now - kept, EndTime=end)["MetricDataResults"]
    return max(
        (ReportedPoint(at, value) for at, value in zip(found["Timestamps"], found["Values"])), key=lambda point: point.at, default=None
    )


def _dimensions(project: str, job: str | None) -> list[DimensionTypeDef]:
    return [{"Name": name, "Value": value} for name, value in (("Project", project), ("Job", job)) if value]


def workflow(glue: GlueClient, name: str, runs: Mapping[str, Sequence[JobState]]) -> Workflow:
    """Return a workflow's graph in the steps in which its nodes start, each with its last state."""
    graph = glue.get_workflow(Name=name, IncludeGraph=True)["Workflow"].get("Graph", {})
    nodes = {node["UniqueId"]: node for node in graph.get("Nodes", ())}
    before: dict[str, set[str]] = {one: set() for one in nodes}
    starts: dict[str, set[str]] = {one: set() for one in nodes}
    for edge in graph.get("Edges", ()):
        before[edge["DestinationId"]].add(edge["SourceId"])
        starts[edge["SourceId"]].add(nodes[edge["DestinationId"]]["Name"])
    by_job = {run.job: list(of_job) for of_job in runs.values() for run in of_job[:1]}
    steps = [
        tuple(_node(nodes[one], starts[one], by_job) for one in sorted(step, key=lambda one: str(nodes[one]["Name"])))
        for step in _steps(before)
    ]
    return Workflow(name, tuple(steps))


def _steps(before: Mapping[str, set[str]]) -> Iterator[set[str]]:
    left, done = dict(before), set[str]()
    while left:
        step = {node for node, waits_for in left.items() if waits_for <= done} or set(left)  # a circle, which Glue does not allow
        yield step
        done |= step
        left = {node: waits_for for node, waits_for in left.items() if node not in step}


def _node(node: NodeTypeDef, starts: set[str], runs: Mapping[str, Sequence[JobState]]) -> Node:
    name = node["Name"]
    if node["Type"] == "JOB":
        run = next(iter(runs.get(name, ())), None)
        if run is None:
            return Node(name, "job", "never ran")
        return Node(name, "job", run.state.lower(), run.started_at, run.reason if run.is_failed else "", run.seconds, run.is_failed)
    trigger = node.get("TriggerDetails", {}).get("Trigger", {})
    started = [run.started_at for job in starts for run in runs.get(job, ())[:1]]
    state = str(trigger.get("State", "")).lower()
    is_event = trigger.get("Type") == "EVENT"  # its state is always CREATED, and it fires
    is_off = not is_event and state not in ("activated", "activating")
    return Node(name, "trigger", "on event" if is_event else state, max(started, default=None), _starts_when(trigger), is_bad=is_off)


def _starts_when(trigger: TriggerTypeDef) -> str:
    if trigger.get("Type") == "SCHEDULED":
        return str(trigger.get("Schedule", ""))
    if trigger.get("Type") == "EVENT":
        return "a batch is pending"
    conditions = (trigger.get("Predicate") or {}).get("Conditions") or []
    return " and ".join(f"{one.get('JobName', '')} {str(one.get('State', '')).lower()}" for one in conditions)


def dead_letters(ingestion: Bucket, newest: BatchManifest | None) -> Iterator[Dead]:
    """Return the tables with open dead letters, without letters that a person has discarded."""
    if newest is None:
        return
    letters = Letters(ingestion, newest)
    for table in sorted(newest.tables):
        if found := letters.of(table).open:
            yield Dead(table, len(found), tuple(Counter(letter.reason for letter in found).most_common(_REASONS)))


def alarm_names(session: boto3.Session, deployment: Deployment) -> list[str]:
    """Return the names of the deployment's alarms. All of them are in one stack."""
    found = session.client("cloudformation").describe_stack_resources(StackName=f"{deployment.project}-alarms")["StackResources"]
    return [resource["PhysicalResourceId"] for resource in found if resource["ResourceType"] == "AWS::CloudWatch::Alarm"]


def contracts(glue: GlueClient, deployment: Deployment, publish: PublishManifest | None) -> Iterator[Registered]:
    """Return each table's registered contract. This needs a request per table, because only versions say what changed, and when."""
    known = load_contracts()
    places: tuple[tuple[str, Mapping[str, Contract], Callable[[PublishManifest], Any]], ...] = (
        (deployment.ingestion_database, known.source, lambda publish: publish.mirror),
        (deployment.star_database, known.warehouse, lambda publish: publish.star),
    )
    for database, tables, states in places:
        for table, contract in tables.items():
            parts = states(publish).get(table) if publish else None
            rows = sum(part.rows - part.deleted for part in parts.values()) if parts is not None else None
            try:
                versions = registered_versions(glue, database, table)
            except FatalError as error:
                yield Registered(table, contract.kind, rows=rows, problem=str(error))
                continue
            newest = versions[0]
            changed = changes(versions[1].contract, newest.contract) if len(versions) > 1 else []
            yield Registered(
                table, contract.kind, newest.contract.version, len(newest.contract.columns), newest.since, tuple(changed),
                len(versions) == 1, rows,
            )  # fmt: skip
