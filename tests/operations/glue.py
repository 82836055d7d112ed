"""Glue's workflows and the lake's two buckets as run.sh sees them, with runs whose course a test lays down."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from totesys import manifests, waiting
from totesys.manifests import BatchManifest, PublishManifest, SourceIdentity, TableCapture
from totesys.store import Bucket

from operations.deployment import Deployment

STARTED = datetime(2026, 3, 2, 8, tzinfo=timezone.utc)
INGEST, PUBLISH = "p-ingest", "p-publish"
DEPLOYMENT = Deployment(
    "p", "eu-west-2", None, "ingestion", "processed", "artifacts", "i_db", "c_db", "p_db", "group",
    "ingest", "transform", "load", INGEST, PUBLISH, "p/source", "p/warehouse",
)  # fmt: skip


class RefusedError(Exception):
    """ConcurrentRunsExceededException."""


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
        return {"WorkflowRunId": self.id, "Status": self.status if self.has_ended else "RUNNING", "ErrorMessage": self.error}

    def _nodes(self) -> Iterator[dict[str, Any]]:
        for job, state in self.jobs.items():
            run = {"Id": f"{self.id}/{job}", "JobRunState": state if self.has_ended else "RUNNING", "StartedOn": STARTED}
            if self.has_ended:
                run |= {"CompletedOn": STARTED, "ErrorMessage": self.error if state == "FAILED" else ""}
            yield {"Type": "JOB", "Name": job, "JobDetails": {"JobRuns": [run]}}


class Glue:
    """The client. `on_ingest` lays down, tick by tick, what each ingest run brings about when it ends."""

    class exceptions:  # boto3's name
        ConcurrentRunsExceededException = RefusedError

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self.runs: dict[str, list[Run]] = {INGEST: [], PUBLISH: []}
        self.on_ingest: list[Callable[[], None]] = []
        self.refusals = 0
        self.started_with: list[dict[str, str]] = []

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
        return {"RunId": self.add(Name, jobs={"ingest": "SUCCEEDED"}, ends=self.on_ingest.pop(0)).id}

    def get_workflow_run(self, Name: str, RunId: str, IncludeGraph: bool) -> dict[str, Any]:
        return {"Run": next(run for run in self.runs[Name] if run.id == RunId).ask()}

    def get_workflow_runs(self, Name: str, MaxResults: int) -> dict[str, Any]:
        return {"Runs": [run.summary() for run in self.runs[Name][:MaxResults]]}


@dataclass
class Lake:
    """The buckets, of which only manifests and the loaded marker matter here."""

    ingestion: Bucket
    processed: Bucket
    publishes: int = 0

    def land(self, seq: int) -> None:
        """A batch with three orders."""
        orders = TableCapture("delta", 1, 1, 1, "", None, "", 3, 3, "", None)
        batch = BatchManifest(seq, f"{seq:010d}-a", "", "", "", SourceIdentity("", 1, 1), seq, seq - 1, {"sales_order": orders})
        manifests.commit(self.ingestion, batch)

    def load(self, through: int) -> None:
        """A publish of the one batch `through`, and its load."""
        self.publishes += 1
        batches = ((through, f"{through:010d}-a"),)
        publish = PublishManifest(
            self.publishes, "", self.publishes - 1, "", "", 0, through, batches, new_rows={"fact_sales_order": 3, "dim_date": 0}
        )  # fmt: skip
        manifests.commit(self.processed, publish)
        waiting.mark_loaded(self.processed, self.publishes, through)
