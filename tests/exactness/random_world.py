"""A world that many random histories share: its schedule of runs, faults and events is drawn from a seed, as the histories are."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from random import Random

from totesys.lake.manifests import newest_batch, newest_publish
from totesys.lake.store import Bucket
from totesys.runtime.run_request import ORDINARY_RUN, RunRequest

from tests.exactness.faults import Effect, Fault
from tests.exactness.histories import History
from tests.exactness.observed import lake_differences, loaded_through, waiting_rows, warehouse_differences
from tests.exactness.oracle import DIMENSIONS, FACTS, SOURCE_TABLES, RowDifference, State, Truth, committed_state
from tests.exactness.proxies import proxied_world
from tests.exactness.sessions import Sessions
from tests.exactness.table_events import TableEvents
from tests.support.stage import Stage

HISTORIES = 200  # a publish costs much the same for few and for many
ROUNDS, LONG_ROUNDS, LONG_EVERY = 12, 60, 4  # every fourth seed is a long world
HOLDS_EVERY = 3  # in every third, tables are held before anybody accepts that they lose rows

_AWS_EFFECTS = tuple(Effect)
_FIRST_LOAD = ("warehouse CREATE TABLE", "warehouse CREATE INDEX", "warehouse COMMENT")  # calls that only a world's first load makes
_SQL_EFFECTS = (Effect.REFUSED, Effect.ANSWER_LOST, Effect.ANSWER_LOST_ONCE)


@dataclass
class Tally:
    """What was tried."""

    worlds: int = 0
    histories: int = 0
    steps: int = 0
    batches: int = 0
    runs: Counter[str] = field(default_factory=Counter)
    backfills: int = 0
    faults: int = 0
    held: int = 0
    kept_out: int = 0
    waited: int = 0
    comparisons: int = 0

    def add(self, other: Tally) -> None:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


class NotExactError(AssertionError):
    """The lake or the warehouse is not what it must be. The message names the seed that shows it again, and a history that it befell."""

    def __init__(self, seed: int, differences: list[RowDifference], story: list[str]) -> None:
        self.differences = differences
        again = f"world {seed} is not exact; again: scripts/totesys soak --seed {seed}"
        super().__init__("\n".join([again, *story, *map(str, differences)]))


class RandomWorld:
    """One world, from its first row to the comparison at its end.

    `on_round` hears of each round before it, its number and of how many, and says whether there is time for it; the first there always is.
    """

    def __init__(self, seed: int, stage: Stage, histories: int = HISTORIES, on_round: Callable[[int, int], bool] = lambda *_: True) -> None:
        self.seed = seed
        self.stage = stage
        self.on_round = on_round
        self.random = Random(f"world {seed}")
        self.chance = Random(f"faults of world {seed}")  # apart, so that the calls that a job makes do not change what happens later
        self.rounds = LONG_ROUNDS if seed % LONG_EVERY == 0 else ROUNDS
        self.holds = seed % HOLDS_EVERY == 0
        self.truth = Truth()
        self.size = histories
        self.tally = Tally(worlds=1)
        self.is_ahead = False  # whether a dimension of the warehouse may be ahead of its ledger
        self.calls: defaultdict[str, Counter[str]] = defaultdict(Counter)  # each job's, the most that a run made

    def play(self) -> Tally:
        """Lives the world. NotExactError as soon as something is lost, or there twice."""
        name = f"world_{self.seed}"
        with ExitStack() as stack:
            source = stack.enter_context(self.stage.database(f"{name}_source", self.stage.source_template))
            warehouse = stack.enter_context(self.stage.database(f"{name}_warehouse"))
            self.proxied = stack.enter_context(proxied_world(self.stage.spark, self.stage.aws, source, warehouse))
            self.sessions = stack.enter_context(closing(Sessions(source.connect)))
            self.histories = [History(name, number, self.sessions) for number in range(self.size)]
            stack.callback(lambda: [history.abandon() for history in self.histories])
            self.events = TableEvents(self.random, self.sessions, self.histories, self.stage.crash_postgres)
            self._live()
        return self.tally

    def _live(self) -> None:
        waiting = list(self.histories)
        living: list[History] = []
        for number in range(self.rounds):
            if not self.on_round(number, self.rounds) and number:
                break
            # Half of the histories begin before the first run, half in the midst of others.
            newcomers = {0: self.size // 2, self.rounds // 2: len(waiting)}.get(number, 0)
            for history in waiting[:newcomers]:
                history.begin()
                self.tally.histories += 1
            living, waiting = [*living, *waiting[:newcomers]], waiting[newcomers:]
            self._steps(living)
            self.events.maybe(deletes_many=self.holds)
            self._runs(is_first=number == 0)
        self.events.bring_back()
        self.events.put_right()
        for job in ("ingest", "transform", "load"):
            self._run(job, RunRequest(accept_deletes=frozenset(SOURCE_TABLES)))
        newest = newest_batch(self._ingestion)
        assert newest and newest.seq == max(self.truth.mirrors)
        self._check_lake(through=newest.seq)
        self._check_warehouse(through=newest.seq)

    def _steps(self, living: list[History]) -> None:
        """Busy rounds in which every table changes, and quiet ones."""
        busy = max(1, int(len(living) * self.random.choice((1.0, 0.5, 0.1, 0.01))))
        for history in self.random.sample(living, busy):
            for _ in range(self.random.choice((1, 1, 2, 3))):
                history.step()
                self.tally.steps += 1

    # Runs

    def _runs(self, is_first: bool) -> None:
        accepts = not self.holds or self.random.random() < 0.2
        accepted = frozenset(SOURCE_TABLES if accepts else ())
        self._maybe_with_a_fault("ingest", RunRequest(full=self.random.random() < 0.1, accept_deletes=accepted))
        backfill = RunRequest() if is_first or self.random.random() < 0.94 else self._backfill()
        if is_first or backfill.backfill or self.random.random() < 0.25:
            self._maybe_with_a_fault("transform", backfill)
            if self.random.random() < 0.1:
                self._run("transform")
        if is_first or backfill.backfill or self.random.random() < 0.3:
            self._maybe_with_a_fault("load", backfill)
            if self.random.random() < 0.2:
                self._run("load")

    def _backfill(self) -> RunRequest:
        self.tally.backfills += 1
        table = self.random.choice((None, None, *SOURCE_TABLES, *FACTS, *DIMENSIONS))
        return RunRequest(backfill=True, backfill_table=table, backfill_from=self.random.randint(1, max(self.truth.mirrors)))

    def _maybe_with_a_fault(self, job: str, request: RunRequest) -> None:
        self._run(job, request, self._fault(job) if self.chance.random() < 0.6 else None)

    def _fault(self, job: str) -> Fault | None:
        """A fault at a call that the job has made before; which it may not make this time."""
        known = {call: count for call, count in self.calls[job].items() if not call.startswith(_FIRST_LOAD)}
        if not known:
            return None
        call = self.chance.choice(sorted(known))
        effects = _SQL_EFFECTS if call.startswith(("source", "warehouse")) else _AWS_EFFECTS
        return Fault(call, self.chance.randint(1, known[call]), self.chance.choice(effects))

    def _run(self, job: str, request: RunRequest = ORDINARY_RUN, fault: Fault | None = None) -> None:
        self.tally.runs[job] += 1
        state = self._committed_state() if job == "ingest" else {}
        calls = self.proxied.calls
        calls.arm(fault)
        outcome = "done"
        try:
            self._start(job, request)
        except Exception as error:  # whether it is one of the pipeline's own is for the trial of fault points to check
            if not calls.has_fired:
                raise
            outcome = f"failed: {str(error).splitlines()[0]}"
        has_fired = calls.has_fired
        if not has_fired:
            self.calls[job] |= Counter(calls.seen)
        calls.arm(None)
        struck = f", {fault.effect.value} at {fault.call} ({fault.occurrence})" if fault and has_fired else ""
        self._note(f"{job} {request.properties() or ''}{struck}: {outcome}")
        if has_fired:
            self.tally.faults += 1
            self.proxied.forget_the_dead()
        if job == "ingest":
            self._batch_is_committed(state, request.accept_deletes)
        elif job == "transform":
            self._check_lake()
        else:
            # A backfill brings a dimension to the lake's newest state. If the run then dies, the ledger is behind until a load succeeds.
            self.is_ahead = outcome != "done" and (self.is_ahead or request.backfill)
            if not self.is_ahead:
                self._check_warehouse()

    def _start(self, job: str, request: RunRequest) -> None:
        world = self.proxied.world
        if job == "ingest":
            world.ingest(full=request.full, accept_deletes=request.accept_deletes)
        elif job == "transform":
            world.transform(request)
        else:
            world.load(request)

    def _note(self, what: str) -> None:
        for history in self.histories:
            history.note(f"-- {what}")

    # Checks

    def _committed_state(self) -> State:
        with closing(self.proxied.source.connect()) as connection:
            return committed_state(connection)

    def _batch_is_committed(self, state: State, accepted: Collection[str]) -> None:
        """Tells the truth which state the batch saw, if one was committed."""
        batch = newest_batch(self._ingestion)
        if batch is None or batch.seq in self.truth.mirrors:
            return
        held = self.truth.saw(batch.seq, state, accepted)
        self.tally.batches += 1
        self.tally.held += len(held)
        self._note(f"batch {batch.seq} is committed{f', held: {sorted(held)}' if held else ''}")
        self.tally.kept_out += sum(map(len, self.truth.dead.values()))
        really = set(batch.held)
        assert really == held, f"batch {batch.seq} of world {self.seed} holds {sorted(really)}, and must hold {sorted(held)}"
        letters = {table: capture.dead_letters.rows for table, capture in batch.tables.items() if capture.dead_letters}
        dead = {table: len(keys) for table, keys in self.truth.dead.items() if keys}
        assert letters == dead, f"batch {batch.seq} of world {self.seed} keeps out {letters}, and must keep out {dead}"

    def _check_lake(self, through: int = 0) -> None:
        publish = newest_publish(self._processed)
        if publish:
            self._check(lake_differences(self._processed, publish, self.truth, through or publish.through_batch_seq))

    def _check_warehouse(self, through: int = 0) -> None:
        with closing(self.proxied.warehouse.connect()) as connection:
            loaded = through or loaded_through(connection)
            self._check(warehouse_differences(connection, self.truth, loaded))
            self.tally.waited += sum(len(waiting_rows(connection, fact)) for fact in FACTS if loaded)

    def _check(self, found: Iterator[RowDifference]) -> None:
        self.tally.comparisons += 1
        differences = list(found)
        if differences:
            raise NotExactError(self.seed, differences, self._story(differences))

    def _story(self, differences: list[RowDifference]) -> list[str]:
        """What the history did whose row differs first."""
        rows = [row for one in differences for row in (*one.lost, *one.duplicated, *one.unknown)]
        for history in self.histories:
            if any(history.steps.owns(value) for row in rows[:1] for value in row if type(value) is int):
                return [f"history {history.number} of world {self.seed}:", *history.log]
        return []

    @property
    def _ingestion(self) -> Bucket:
        """Past the proxy: a look is no call of a job."""
        return Bucket(self.proxied.aws.s3, self.proxied.world.ingestion.name)

    @property
    def _processed(self) -> Bucket:
        return Bucket(self.proxied.aws.s3, self.proxied.world.processed.name)
