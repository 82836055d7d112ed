"""The sweep: a pipeline dies at every call that it makes, or loses the call's answer, and the next ordinary run is exact.

Each turn brings one delta from the source to the warehouse. In each of the three jobs it strikes one point (or a few, one crash after
the other), then lets an ordinary run follow, and checks everything. A point is a call of a delta's clean run, and what becomes of it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from totesys.errors import PipelineError
from totesys.manifests import newest_batch

from tests.exactness.exact import Checker, Findings
from tests.exactness.faults import DEADLY, Effect, Fault
from tests.exactness.proxies import ProxiedWorld
from tests.exactness.sweep_deltas import Deltas

JOBS = ("ingest", "transform", "load")
_MISSES = 3  # a point may fail to come by: another point of the turn, or midnight, has changed the run's shape

# What commits, or shows what is committed. The merge's own statements are found by their place.
_COMMITS = re.compile(
    r"s3 PUT (ingestion|processed) _manifests|glue Batch(Create|Update)Partition .*|events PutEvents|s3 PUT processed _loaded\.json"
)
_MERGE_BEGINS, _MERGE_ENDS = "warehouse LOCK TABLE etl.load_ledger IN", "warehouse COMMIT"
_EXCLUSIVE = re.compile(r"s3 PUT (ingestion|processed) _manifests")


@dataclass(frozen=True)
class Point:
    """One call of one job, and what becomes of it. `commits` tells calls that commit from those that only prepare."""

    job: str
    call: str
    occurrence: int
    effect: Effect
    commits: bool

    def __str__(self) -> str:
        return f"{self.job}: {self.call} ({self.occurrence}) {self.effect.value}"


@dataclass
class Swept:
    """The outcome of a sweep. `inexact` are the points after which something was not exact, with what it was."""

    swept: int = 0
    lost: int = 0
    duplicated: int = 0
    inexact: list[str] = field(default_factory=list)


def points_of(job: str, calls: Sequence[str]) -> list[Point]:
    """Every point of a job's clean run."""
    merge = _merge(calls) if job == "load" else range(0)
    counts: Counter[str] = Counter()
    points = []
    for number, call in enumerate(calls):
        counts[call] += 1
        commits = number in merge or bool(_COMMITS.fullmatch(call))
        points += [Point(job, call, counts[call], effect, commits) for effect in _effects(call)]
    return points


def _merge(calls: Sequence[str]) -> range:
    first = calls.index(_MERGE_BEGINS)
    return range(first, calls.index(_MERGE_ENDS, first) + 1)


def _effects(call: str) -> list[Effect]:
    effects = [Effect.REFUSED, Effect.ANSWER_LOST]
    if _EXCLUSIVE.fullmatch(call):
        effects.append(Effect.ANSWER_LOST_ONCE)
    if not call.startswith(("source", "warehouse")):
        effects.append(Effect.UNAVAILABLE)
    return effects


class Sweep:
    """A world with its first run and one delta behind it, ready to be struck."""

    def __init__(self, proxied: ProxiedWorld, deltas: Deltas) -> None:
        self.proxied = proxied
        self.world = proxied.world
        self.deltas = deltas
        self.checker = Checker(self.world, proxied.aws.client, proxied.source, proxied.warehouse)
        self.world.run()
        # The second delta of a day is like all later ones: the first makes the day's partitions.
        self.deltas.apply()
        self.recover()
        self.points = self._record()

    def _record(self) -> list[Point]:
        self.deltas.apply()
        points = []
        for job in JOBS:
            self.proxied.calls.arm(None)
            getattr(self.world, job)()
            points += points_of(job, self.proxied.calls.seen)
        self.recover()
        return points

    def recover(self) -> None:
        """An ordinary run, and ticks until one brings nothing: a batch without rows has none to register again."""
        self.world.run()
        while (newest := newest_batch(self.world.ingestion)) and newest.has_rows:
            self.world.ingest()

    def strike(self, points: Iterable[Point], crashes: int = 1) -> Swept:
        """Sweeps the points: in each turn and job up to `crashes`, one right after the other. Stops at the first that is not exact."""
        waiting = {job: [point for point in points if point.job == job] for job in JOBS}
        misses: Counter[Point] = Counter()
        outcome = Swept()
        while any(waiting.values()):
            self.deltas.apply()
            struck: list[Point] = []
            problems: list[str] = []
            for job in JOBS:
                struck += self._strike_job(job, waiting[job], crashes, misses, problems)
                getattr(self.world, job)()
            self.recover()
            found = self.checker.findings(self.deltas.expected)
            outcome.swept += len(struck)
            outcome.lost += found.lost
            outcome.duplicated += found.duplicated
            problems += found.problems
            if problems:
                outcome.inexact = [*map(str, struck), *problems]
                break
        return outcome

    def _strike_job(self, job: str, waiting: list[Point], crashes: int, misses: Counter[Point], problems: list[str]) -> list[Point]:
        struck: list[Point] = []
        while waiting and len(struck) < crashes:
            point = waiting[0]
            has_fired, error = self._run_with(point)
            if not has_fired:
                misses[point] += 1
                assert misses[point] < _MISSES, f"{point} never came by"
                break
            struck.append(waiting.pop(0))
            if error is not None and not isinstance(error, PipelineError):
                problems.append(f"{point}: {type(error).__name__} instead of an error of the pipeline's own")
            if error is None:
                if point.effect in DEADLY:
                    problems.append(f"{point}: the job knew nothing of it")
                break
        return struck

    def _run_with(self, point: Point) -> tuple[bool, Exception | None]:
        """Runs the point's job with the fault. Whether the point came by, and what the job raised."""
        calls, error = self.proxied.calls, None
        calls.arm(Fault(point.call, point.occurrence, point.effect))
        try:
            getattr(self.world, point.job)()
        except Exception as raised:
            error = raised
        has_fired = calls.has_fired
        calls.arm(None)
        self.proxied.forget_the_dead()
        return has_fired, error
