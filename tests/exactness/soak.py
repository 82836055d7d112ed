"""scripts/totesys soak: random worlds, then faults at a pipeline's every call and kills of its jobs, until the time is over."""

from __future__ import annotations

import logging
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import count
from random import Random

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from local_aws.glue.spark import spark_environment
from operations.cli.console import make_console, make_table
from tests.exactness.fault_points import JOBS, FaultTrial, TrialOutcome
from tests.exactness.faults_processes import Processes, kill_jobs
from tests.exactness.proxies import proxied_world
from tests.exactness.random_world import HISTORIES, NotExactError, RandomWorld, Tally
from tests.support.deltas import Deltas
from tests.support.stage import Stage, whole_stage

MINUTES = 10.0
_FOR_HISTORIES = 0.6  # of the time; the rest is for trials of fault points
_TURNS_BETWEEN_KILLS = 4  # a kill needs a job in a process of its own, which takes as long as several turns


@dataclass
class SoakReport:
    """What the soak has done and found."""

    tried: Tally = field(default_factory=Tally)
    seeds: list[int] = field(default_factory=list)
    trial: TrialOutcome = field(default_factory=TrialOutcome)
    points: int = 0
    kills: int = 0
    lost: int = 0
    duplicated: int = 0
    unknown: int = 0
    failure: str = ""

    def print(self, console: Console, seconds: float) -> None:
        tried = self.tried
        rows = [
            ("minutes", f"{seconds / 60:.1f}"),
            ("worlds, their seeds", f"{len(self.seeds)}: {', '.join(map(str, self.seeds))}"),
            ("histories tried, their steps", f"{tried.histories:,}, {tried.steps:,}"),
            ("runs", ", ".join(f"{runs} {job}" for job, runs in tried.runs.items()) + f"; {tried.backfills} backfills"),
            ("batches, tables held in them", f"{tried.batches}, {tried.held}"),
            ("faults injected into histories", f"{tried.faults}"),
            ("fault points struck", f"{self.trial.struck} of {self.points}" if self.points else "none"),
            ("jobs killed", f"{self.kills}"),
            ("comparisons with the truth", f"{tried.comparisons}"),
            ("rows lost", f"{self.lost + self.trial.lost}"),
            ("rows duplicated", f"{self.duplicated + self.trial.duplicated}"),
            ("rows that nobody knows", f"{self.unknown}"),
        ]
        console.print(make_table([("what", "left"), ("how much", "left")], rows, title="Soak"))
        console.print(self.failure or "nothing was lost, and nothing was there twice", markup=False)


class Soak:
    """One soak. `until` is a time of the monotonic clock; None for one whole world and no more."""

    def __init__(self, stage: Stage, seed: int, until: float | None, say: Callable[[str], None]) -> None:
        self.stage = stage
        self.seed = seed
        self.until = until
        self.say = say
        self.report = SoakReport()

    def run(self) -> SoakReport:
        begun = time.monotonic()
        if self.until is None:
            self._world(self.seed, lambda: True)
            return self.report
        end = begun + (self.until - begun) * _FOR_HISTORIES
        for seed in count(self.seed):
            self._world(seed, lambda: time.monotonic() < end)
            if self.report.failure or time.monotonic() > end:
                break
        if not self.report.failure:
            self._strike(self.until)
        return self.report

    def _world(self, seed: int, has_time: Callable[[], bool]) -> None:
        def on_round(number: int, rounds: int) -> bool:
            self.say(f"world {seed}: round {number + 1} of {rounds}")
            return has_time()

        world = RandomWorld(seed, self.stage, HISTORIES, on_round)
        self.report.seeds.append(seed)
        try:
            world.play()
        except NotExactError as error:
            self.report.failure = str(error)
            for difference in error.differences:
                self.report.lost += len(difference.lost)
                self.report.duplicated += len(difference.duplicated)
                self.report.unknown += len(difference.unknown)
        except Exception:
            self.report.failure = f"{traceback.format_exc()}\nworld {seed} failed; again: scripts/totesys soak --seed {seed}"
        self.report.tried.add(world.tally)

    def _strike(self, until: float) -> None:
        """Some points of every job in each turn, in the seed's order, and now and then a kill."""
        self.say("fault points: a first run, and the calls of a clean one")
        with ExitStack() as stack:
            source = stack.enter_context(self.stage.database("trial_source", self.stage.source_template))
            warehouse = stack.enter_context(self.stage.database("trial_warehouse"))
            proxied = stack.enter_context(proxied_world(self.stage.spark, self.stage.aws, source, warehouse))
            trial = FaultTrial(proxied, Deltas(source))
            processes = Processes(trial, spark_environment(self.stage.folder / "jobs", proxied.endpoint))
            self.report.points = len(trial.points)
            order = Random(self.seed).sample(trial.points, len(trial.points))
            waiting = {job: [point for point in order if point.job == job] for job in JOBS}
            turns = 0
            while any(waiting.values()):
                self.say(f"fault points: {self.report.trial.struck} of {self.report.points} points")
                turn = [points.pop() for points in waiting.values() if points]
                self._note(trial.strike(turn))
                turns += 1
                if turns % _TURNS_BETWEEN_KILLS == 0 and not self.report.failure:
                    self.say("fault points: kills")
                    killed = kill_jobs(processes, dict.fromkeys(JOBS, 1), seed=self.seed + turns)
                    self.report.kills += killed.struck
                    self._note(replace(killed, struck=0))
                if self.report.failure or time.monotonic() > until:
                    break

    def _note(self, outcome: TrialOutcome) -> None:
        trial = self.report.trial
        trial.struck, trial.lost, trial.duplicated = (
            trial.struck + outcome.struck, trial.lost + outcome.lost, trial.duplicated + outcome.duplicated,
        )  # fmt: skip
        if outcome.inexact:
            told = "\n".join(outcome.inexact)
            self.report.failure = (
                f"{told}\nafter these points the pipeline is not exact; again: scripts/totesys soak --minutes N --seed {self.seed}"
            )


def soak(minutes: float | None, seed: int | None) -> bool:
    """Run until the time is over, 10 minutes by default. With a seed alone: one whole world. Return whether nothing was lost or twice."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    logging.disable(logging.WARNING)  # what jobs say of the faults that meet them
    console = make_console()
    begun = time.monotonic()
    only_one = seed is not None and minutes is None
    until = None if only_one else begun + 60 * (minutes or MINUTES)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("starting PostgreSQL, AWS and Spark", total=until and until - begun)

        def say(what: str) -> None:
            progress.update(task, description=what, completed=time.monotonic() - begun)
            if not console.is_terminal:
                console.print(f"{time.monotonic() - begun:6.0f} s  {what}")

        with whole_stage() as stage:
            report = Soak(stage, int(time.time()) if seed is None else seed, until, say).run()
    report.print(console, time.monotonic() - begun)
    return not report.failure
