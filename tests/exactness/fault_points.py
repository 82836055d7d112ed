"""A trial of fault points: a pipeline dies at every call that it makes, or loses the call's answer, and the next ordinary run is exact.

Each turn brings one delta from the source to the warehouse. In each of the three jobs it strikes one point (or a few, one crash after
the other), then lets ordinary ticks follow, and checks everything. A point is a call of a delta's clean run, and what becomes of it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from totesys.errors import PipelineError

from tests.exactness.faults import DEADLY, Effect, Fault
from tests.exactness.proxies import ProxiedWorld
from tests.support.deltas import Deltas
from tests.support.exact import Checker, Findings

JOBS = ("ingest", "transform", "load")
_MISSES = 3  # a point may fail to come by: another point of the turn, or midnight, has changed the run's shape

# What commits, or shows what is committed. The merge's own statements are found by their place.
_POINTER = re.compile(r"glue Batch(Create|Update)Partition .*")
_COMMITS = re.compile(rf"s3 PUT (ingestion|processed) _manifests|{_POINTER.pattern}|events PutEvents")
_MERGE_BEGINS, _MERGE_ENDS = "warehouse LOCK TABLE etl.load_ledger IN", "warehouse COMMIT"
_EXCLUSIVE = re.compile(r"s3 PUT (ingestion|processed) _manifests")
_DECIDES = re.compile(r"s3 PUT (ingestion|processed) _manifests|warehouse COMMIT")


@dataclass(frozen=True)
class FaultPoint:
    """One call of one job, and what becomes of it. `commits` tells calls that commit from those that only prepare.

    Of the merge's statements only the first counts as one that commits when it is refused: by then the server has done just what it has
    done when the answer of the statement before is lost. `is_survived`: the job goes on without what the call asks.
    """

    job: str
    call: str
    occurrence: int
    effect: Effect
    commits: bool
    is_survived: bool = False

    def __str__(self) -> str:
        return f"{self.job}: {self.call} ({self.occurrence}) {self.effect.value}"


@dataclass
class TrialOutcome:
    """The outcome of a trial.

    inexact      the points of the turn after which something was not exact, and what
    unexplained  points at which a job failed with an error that is not the pipeline's own
    """

    struck: int = 0
    lost: int = 0
    duplicated: int = 0
    inexact: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)

    def note(self, struck: Sequence[str], found: Findings) -> None:
        """What was found after points were struck."""
        self.struck += len(struck)
        self.lost += found.lost
        self.duplicated += found.duplicated
        if found.problems:
            self.inexact = [*struck, *found.problems]


def points_of(job: str, calls: Sequence[str]) -> list[FaultPoint]:
    """Every point of a job's clean run."""
    merge = _merge(calls) if job == "load" else range(0)
    asks = _asks_the_warehouse(calls)
    counts: Counter[str] = Counter()
    points = []
    for number, call in enumerate(calls):
        counts[call] += 1
        for effect in _effects(call):
            is_told_apart = effect is not Effect.REFUSED or number == merge.start
            commits = bool(_COMMITS.fullmatch(call)) or (number in merge and is_told_apart)
            points.append(FaultPoint(job, call, counts[call], effect, commits, is_survived=job == "ingest" and number >= asks))
    return points


def _asks_the_warehouse(calls: Sequence[str]) -> int:
    """Where a run of ingest begins to ask the warehouse what it lacks: at the second secret that it reads, after the commit."""
    secrets = [number for number, call in enumerate(calls) if call.startswith("secretsmanager GetSecretValue")]
    return secrets[1] if len(secrets) > 1 else len(calls)


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


class FaultTrial:
    """A world with its first run and one delta behind it, ready to be struck."""

    def __init__(self, proxied: ProxiedWorld, deltas: Deltas) -> None:
        self.proxied = proxied
        self.world = proxied.world
        self.deltas = deltas
        self.checker = Checker(self.world, proxied.aws.client, proxied.source, proxied.warehouse)
        self._misses: Counter[FaultPoint] = Counter()
        self.world.run()
        # The second delta of a day is like all later ones: the first makes the day's partitions.
        self.deltas.apply()
        self.recover()
        self.points = self._record()

    def _record(self) -> list[FaultPoint]:
        self.deltas.apply()
        points = []
        for job in JOBS:
            self.proxied.calls.arm(None)
            getattr(self.world, job)()
            points += points_of(job, self.proxied.calls.seen)
        self.recover()
        return points

    def recover(self) -> None:
        """Ordinary ticks until one brings nothing: a batch without rows has none to register again."""
        while self.world.tick():
            pass

    def strike(self, points: Iterable[FaultPoint], crashes: int = 1) -> TrialOutcome:
        """Strikes the points: in each turn and job up to `crashes`, one after the other. Stops at the first turn that is not exact."""
        waiting = {job: [point for point in points if point.job == job] for job in JOBS}
        self._misses.clear()
        outcome = TrialOutcome()
        while any(waiting.values()) and not outcome.inexact:
            self.deltas.apply()
            struck: list[str] = []
            unheard: list[str] = []
            for job in JOBS:
                for point, error in self._strike_job(job, waiting[job], crashes):
                    struck.append(str(point))
                    if error and not isinstance(error, PipelineError):
                        outcome.unexplained.append(f"{point}: {type(error).__name__}")
                    if point.effect in DEADLY and not error and not point.is_survived:
                        unheard.append(f"{point}: the job ended well")
                if job != JOBS[-1]:
                    getattr(self.world, job)()  # what the next job is to find
            self.recover()
            found = self.checker.findings(self.deltas.expected)
            found.problems += unheard
            outcome.note(struck, found)
        return outcome

    def _strike_job(self, job: str, waiting: list[FaultPoint], crashes: int) -> Iterator[tuple[FaultPoint, Exception | None]]:
        """Takes points from those that wait. Each with what the job raised."""
        done: set[str] = set()
        for _ in range(crashes):
            point = next((one for one in waiting if one.call not in done), None)
            if point is None:
                return
            has_fired, error, seen = self._run_with(point)
            if not has_fired:
                assert error is None, f"{point} has not come by, and {job} failed: {error}"
                self._misses[point] += 1
                assert self._misses[point] < _MISSES, f"{point} never came by"
                return
            waiting.remove(point)
            yield point, error
            # A pointer that has moved, beside the call that was struck, does not move again in this turn.
            done |= {call for call in seen if _POINTER.fullmatch(call) and (call != point.call or point.effect is not Effect.REFUSED)}
            if not error or (point.effect is not Effect.REFUSED and _DECIDES.fullmatch(point.call)):
                return  # the job's work of this turn is done

    def _run_with(self, point: FaultPoint) -> tuple[bool, Exception | None, list[str]]:
        """Runs the point's job with the fault. Whether the point came by, what the job raised, and the calls up to then."""
        calls, error = self.proxied.calls, None
        with calls.armed(Fault(point.call, point.occurrence, point.effect)):
            try:
                getattr(self.world, point.job)()
            except Exception as raised:
                error = raised
            seen = calls.seen
        self.proxied.forget_the_dead()
        return calls.has_fired, error, seen
