"""Glue's workflows and triggers and the lake's two buckets as the commands see them, with runs whose course a test lays down."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any

import boto3
from totesys.errors import PipelineError
from totesys.lake import manifests
from totesys.lake.manifests import BatchManifest, DeadLetters, PartitionState, PublishManifest, SourceIdentity, TableCapture
from totesys.lake.store import Bucket

from operations.deployment.deployment import Deployment

STARTED = datetime(2026, 3, 2, 8, tzinfo=timezone.utc)
SNAPSHOT_AT = "2026-03-02T08:00:00+00:00"
INGEST, PUBLISH = "p-ingest", "p-publish"
_LOOKS_BEFORE_AN_EVENT = 5
_PAGE = 5  # runs
DEPLOYMENT = Deployment(
    "p", "eu-west-2", None, "ingestion", "processed", "artifacts", "i_db", "c_db", "p_db", "group",
    "ingest", "transform", "load", INGEST, PUBLISH, "p/source", "p/warehouse",
)  # fmt: skip


@dataclass(frozen=True)
class Pages:
    """boto3's paginator of an operation."""

    ask: Callable[..., dict[str, Any]]

    def paginate(self, PaginationConfig: dict[str, int], **request: Any) -> Iterator[dict[str, Any]]:
        page = self.ask(**request, MaxResults=PaginationConfig["PageSize"])
        yield page
        while "NextToken" in page:
            page = self.ask(**request, MaxResults=PaginationConfig["PageSize"], NextToken=page["NextToken"])
            yield page


class RefusedError(Exception):
    """ConcurrentRunsExceededException."""


class UnknownError(Exception):
    """EntityNotFoundException."""


@dataclass
class Run:
    """One run of a workflow: RUNNING until it is asked for the second time, then `status`, when `ends` happens."""

    id: str
    workflow: str
    status: str = "COMPLETED"
    jobs: dict[str, str] = field(default_factory=dict)
    error: str = ""
    ends: Callable[[], None] = lambda: None
    asked: int = 0

    @property
    def has_ended(self) -> bool:
        return self.asked > 1 or self.status == "ERROR"

    def ask(self) -> dict[str, Any]:
        self.asked += 1
        if self.asked == 2:
            self.ends()
        return self.summary() | {"Graph": {"Nodes": [{"Type": "TRIGGER", "Name": "start"}, *self._nodes()], "Edges": []}}

    def summary(self) -> dict[str, Any]:
        started = STARTED + timedelta(minutes=int(self.id.rpartition("-")[2]))
        status = self.status if self.has_ended else "RUNNING"
        return {"WorkflowRunId": self.id, "Status": status, "ErrorMessage": self.error, "StartedOn": started}

    def _nodes(self) -> Iterator[dict[str, Any]]:
        for job, state in self.jobs.items():
            run = {"Id": f"{self.id}/{job}", "JobRunState": state if self.has_ended else "RUNNING", "StartedOn": STARTED}
            if self.has_ended:
                run |= {"CompletedOn": STARTED, "ErrorMessage": self.error if state == "FAILED" else ""}
            yield {"Type": "JOB", "Name": job, "JobDetails": {"JobRuns": [run]}}


class Glue:
    """The client. `on_ingest` lays down, tick by tick, what each ingest run brings about when it ends; `on_publish`, what one publish run
    does that a command starts.

    `schedule` holds the states that the trigger goes through, each once it has been asked for: the last one stays.
    """

    class exceptions:  # boto3's name
        ConcurrentRunsExceededException = RefusedError
        EntityNotFoundException = UnknownError

    def __init__(self, lake: FakeLake) -> None:
        self.lake = lake
        self.runs: dict[str, list[Run]] = {INGEST: [], PUBLISH: []}
        self.on_ingest: list[Callable[[], None]] = []
        self.on_publish: dict[str, Any] = {}
        self.underway: list[Callable[[], None]] = []  # events, delivered one at a time to one who looks again though all is idle
        self.refusals = 0
        self.started_with: list[dict[str, str]] = []
        self.schedule = ["ACTIVATED"]
        self.asked_of_schedule: list[str] = []
        self._idle_looks = 0

    def add(self, workflow: str, **course: Any) -> Run:
        """A run that is under way."""
        run = Run(f"{workflow}-{len(self.runs[workflow]) + 1}", workflow, **course)
        self.runs[workflow].insert(0, run)
        return run

    def publishes(self, through: int) -> None:
        """An announcement arrives: a publish run starts that loads every batch up to `through`."""
        self.add(PUBLISH, jobs={"transform": "SUCCEEDED", "load": "SUCCEEDED"}, ends=lambda: self.lake.load(through))

    def start_workflow_run(self, Name: str, RunProperties: dict[str, str]) -> dict[str, str]:
        if self.refusals:
            self.refusals -= 1
            raise RefusedError
        assert all(run.has_ended for runs in self.runs.values() for run in runs), "another run is in progress"
        self.started_with.append(RunProperties)
        if Name == PUBLISH:
            return {"RunId": self.add(PUBLISH, **{"jobs": {"transform": "SUCCEEDED", "load": "SUCCEEDED"}, **self.on_publish}).id}
        return {"RunId": self.add(INGEST, jobs={"ingest": "SUCCEEDED"}, ends=self.on_ingest.pop(0)).id}

    def get_trigger(self, Name: str) -> dict[str, Any]:
        if Name != "p-ingest-start":
            raise UnknownError
        state = self.schedule.pop(0) if len(self.schedule) > 1 else self.schedule[0]
        return {"Trigger": {"Name": Name, "Type": "SCHEDULED", "State": state}}

    def start_trigger(self, Name: str) -> None:
        self._move_schedule("start", ["ACTIVATING", "ACTIVATED"])

    def stop_trigger(self, Name: str) -> None:
        if self.schedule == ["CREATED"]:
            raise AssertionError("Glue refuses to stop a trigger that was never started")
        self._move_schedule("stop", ["DEACTIVATING", "DEACTIVATED"])

    def _move_schedule(self, asked: str, states: list[str]) -> None:
        self.asked_of_schedule.append(asked)
        self.schedule = states

    def get_workflow_run(self, Name: str, RunId: str, IncludeGraph: bool) -> dict[str, Any]:
        return {"Run": next(run for run in self.runs[Name] if run.id == RunId).ask()}

    def get_paginator(self, operation: str) -> Pages:
        return Pages(getattr(self, operation))

    def get_workflow_runs(self, Name: str, MaxResults: int, NextToken: str = "0") -> dict[str, Any]:
        """A page, the oldest first: Glue promises no order."""
        is_idle = all(run.has_ended for runs in self.runs.values() for run in runs)
        self._idle_looks = self._idle_looks + 1 if is_idle else 0
        if self._idle_looks > _LOOKS_BEFORE_AN_EVENT and self.underway:
            self.underway.pop(0)()
        start, oldest_first = int(NextToken), self.runs[Name][::-1]
        end = start + min(MaxResults, _PAGE)
        page = {"Runs": [run.summary() for run in oldest_first[start:end]]}
        return page if end >= len(oldest_first) else {**page, "NextToken": str(end)}


@dataclass
class FakeLake:
    """The buckets, of which only the manifests matter here, and how far the warehouse is loaded."""

    ingestion: Bucket
    processed: Bucket
    newest: int = 0  # the newest publish
    loaded: int = 0  # the newest batch in the warehouse
    unknown: PipelineError | None = None  # why the warehouse cannot be asked

    def land(self, seq: int, dead: DeadLetters | None = None, **found: Any) -> None:
        """A batch with three orders; of payments none, but it may have letters. `found`: held and drift, as the manifest has them."""
        orders = TableCapture("delta", 1, 1, 1, "", None, "", 3, 3, "", None)
        tables = {"sales_order": orders, "payment": replace(orders, rows=0, dead_letters=dead)}
        batch = BatchManifest(seq, f"{seq:010d}-a", "", "", SNAPSHOT_AT, SourceIdentity("", 1, 1), seq, seq - 1, tables, **found)
        manifests.commit(self.ingestion, batch)

    def publish(self, *batches: int, through: int | None = None, misses: dict[str, int] | None = None, number: int | None = None) -> int:
        """A publish of these batches, which brings the lake to the last of them or to `through`; returns its number."""
        previous, self.newest = self.newest, number or self.newest + 1
        states = {
            "mirror": {"sales_order": {"0": PartitionState("a/", self.newest, 3, batches[-1]), "1": PartitionState("b/", 0, 9, 1)}},
            "star": {
                "fact_sales_order": {"2026-03-02": PartitionState("c/", self.newest, 4, batches[-1])},
                "dim_date": {"2026": PartitionState("d/", 0, 365, 1)},
            },
        }
        publish = PublishManifest(
            seq=self.newest, publish_id="", previous_seq=previous, published_at="", lake_id="", after_batch_seq=batches[0] - 1,
            through_batch_seq=through or batches[-1], batches=tuple((seq, f"{seq:010d}-a") for seq in batches),
            new_rows={"fact_sales_order": 3, "dim_date": 0}, misses=misses or {}, **states,
        )  # fmt: skip
        manifests.commit(self.processed, publish)
        return self.newest

    def load(self, through: int) -> None:
        """A publish of the one batch `through`, and its load."""
        self.publish(through)
        self.load_published(through)

    def load_published(self, through: int) -> None:
        """A load of what has been published, through batch `through`."""
        self.loaded = through

    def ask(self) -> int:
        """What the warehouse answers."""
        if self.unknown:
            raise self.unknown
        return self.loaded


class FakeSession:
    """A boto3 session whose client for Glue is ours, and whose others are moto's."""

    def __init__(self, glue: Glue) -> None:
        self._clients = {"glue": glue, "s3": glue.lake.ingestion.client}

    def client(self, name: str) -> Any:
        return self._clients.get(name) or boto3.client(name, "us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
