"""What the report shows, as plain values. All times are aware and UTC."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from totesys.lake.manifests import Held

from operations.workflows.display import JobState


@dataclass(frozen=True)
class Node:
    """A trigger or a job of a workflow.

    state  Glue's word, in lower case; for a job, the state of its last run
    at     when the job's last run started, or the trigger started one; None when that is not known
    note   what starts a trigger; why a job's last run failed
    """

    name: str
    kind: str
    state: str
    at: datetime | None = None
    note: str = ""
    seconds: float | None = None
    is_bad: bool = False


@dataclass(frozen=True)
class Workflow:
    """A workflow's nodes in the order of their starts. The nodes of one step start after the step before."""

    name: str
    steps: tuple[tuple[Node, ...], ...]

    @property
    def nodes(self) -> Iterator[Node]:
        return (node for step in self.steps for node in step)


@dataclass(frozen=True)
class ReportedBatch:
    """A batch with rows. `rows` has an entry for each source table with rows; `stage` is landed, published or loaded."""

    seq: int
    read_at: datetime
    rows: Mapping[str, int]
    held: tuple[str, ...]
    full: tuple[str, ...]
    stage: str

    @property
    def total(self) -> int:
        return sum(self.rows.values())


@dataclass(frozen=True)
class Dead:
    """The open dead letters of a table. `reasons` are the most frequent ones, with how many letters have each."""

    table: str
    rows: int
    reasons: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Registered:
    """A table's registered contract. `changes` are those of its newest version, `rows` what the newest publish of its table holds.

    `problem` says why there is no contract; the rest is then empty.
    """

    table: str
    kind: str
    version: int = 0
    columns: int = 0
    since: datetime | None = None
    changes: tuple[str, ...] = ()
    is_first: bool = True
    rows: int | None = None
    problem: str = ""


@dataclass(frozen=True)
class ReportedPoint:
    """A value of a metric."""

    at: datetime
    value: float


@dataclass(frozen=True)
class Asked:
    """How much was read for the report: requests to AWS, and how many of them read a manifest."""

    requests: int
    manifests: int


@dataclass(frozen=True)
class Report:
    """Everything on the page.

    loaded     the newest batch in the warehouse as AWS shows; 0 before the first load, None when it is not known
    batches    the newest batches with rows, newest first
    freshness  per load: the seconds from a snapshot to the commit of the changes after it
    runs       the last runs of each job, newest first, by the job's short name
    work       per run of a job, the seconds that the job itself took, by the job's short name
    compared   the last comparison with the source and how many differences it found; None when there was none lately
    parents    fact rows that wait for a parent, as the last load counted; None when it is not known
    """

    project: str
    place: str
    made_at: datetime
    version: str
    deployed_at: datetime
    workflows: tuple[Workflow, ...]
    read_at: datetime | None
    landed: int
    published: int
    loaded: int | None
    batches: tuple[ReportedBatch, ...]
    freshness: tuple[ReportedPoint, ...]
    runs: Mapping[str, tuple[JobState, ...]]
    work: Mapping[str, tuple[ReportedPoint, ...]]
    held: Mapping[str, Held]
    drift: Mapping[str, tuple[str, ...]]
    dead: tuple[Dead, ...]
    parents: int | None
    alarms: tuple[str, ...]
    compared: ReportedPoint | None
    contracts: tuple[Registered, ...]
    asked: Asked = field(default=Asked(0, 0))

    @property
    def pending(self) -> tuple[ReportedBatch, ...]:
        """Return the pending ones of the batches shown, newest first; none when it is not known."""
        return () if self.loaded is None else tuple(batch for batch in self.batches if batch.seq > self.loaded)

    @property
    def oldest_pending(self) -> ReportedBatch | None:
        return self.pending[-1] if self.pending else None

    @property
    def failed(self) -> tuple[Node, ...]:
        """The jobs whose last run failed."""
        return tuple(node for workflow in self.workflows for node in workflow.nodes if node.is_bad)
