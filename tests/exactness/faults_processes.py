"""The job scripts as processes, as Glue starts them, that can be killed at any call or at any moment."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

from totesys.runtime.arguments import IngestArguments, LoadArguments, TransformArguments

from tests.exactness.fault_points import FaultTrial, TrialOutcome
from tests.exactness.faults import Effect, Fault
from tests.support.job_scripts import job_command

_LONGEST = 120  # seconds


@dataclass(frozen=True)
class Processes:
    """Starts the jobs of a trial's world. `environment` is a job's; its calls to AWS go through the proxies as well."""

    trial: FaultTrial
    environment: Mapping[str, str]

    def start(self, job: str, **options: Any) -> subprocess.Popen[str]:
        """One job, in a process group of its own; `options` are Popen's."""
        world = self.trial.world
        arguments: dict[str, IngestArguments | TransformArguments | LoadArguments] = {
            "ingest": world.ingest_arguments,
            "transform": world.transform_arguments,
            "load": LoadArguments(world.name, world.processed.name, world.ingest_arguments.warehouse_secret),
        }
        words = [word for name, value in asdict(arguments[job]).items() if value for word in (f"--{name}", value)]
        return subprocess.Popen(
            job_command(job, words),
            env={**os.environ, **self.environment, "AWS_ENDPOINT_URL": self.trial.proxied.endpoint},
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True, **options,
        )  # fmt: skip

    def kill_at(self, job: str, call: str) -> None:
        """Runs a job, and kills it at a call: the call is under way by then, and is done."""
        calls = self.trial.proxied.calls
        running: list[subprocess.Popen[str]] = []
        with calls.armed(Fault(call, 1, Effect.ANSWER_LOST_ONCE, strike=lambda: kill(running[0]))):
            running.append(self.start(job))
            running[0].communicate(timeout=_LONGEST)
        assert calls.has_fired, f"{job} never came to {call}"
        self.trial.proxied.forget_the_dead()

    def kill_after(self, job: str, seconds: float) -> bool:
        """Runs a job, and kills it after so long; says whether it was still running."""
        process = self.start(job)
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=seconds)
        was_running = process.poll() is None
        kill(process)
        process.communicate()
        self.trial.proxied.forget_the_dead()
        return was_running


def kill(process: subprocess.Popen[str]) -> None:
    """Ends a process and all of its group, as SIGKILL does: at once, and without a last word."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def kill_jobs(processes: Processes, jobs: Mapping[str, int], seed: int) -> TrialOutcome:
    """Kills each job so many times, each at a random moment of its usual duration; after each kill an ordinary run must be exact."""
    random, trial, outcome = Random(seed), processes.trial, TrialOutcome()
    for job, kills in jobs.items():
        usual = _duration(processes, job)
        for _ in range(kills):
            _bring_to(trial, job)
            seconds = random.uniform(0, usual)
            was_running = processes.kill_after(job, seconds)
            trial.recover()
            struck = [f"{job}: killed after {seconds:.3f} s"] if was_running else []
            outcome.note(struck, trial.checker.findings(trial.deltas.expected))
            if outcome.inexact:
                return outcome
    return outcome


def _duration(processes: Processes, job: str) -> float:
    """Seconds that a run of the job takes with one delta waiting."""
    _bring_to(processes.trial, job)
    started = time.monotonic()
    processes.kill_after(job, _LONGEST)
    duration = time.monotonic() - started
    processes.trial.recover()
    return duration


def _bring_to(trial: FaultTrial, job: str) -> None:
    """A delta that waits for the job."""
    trial.deltas.apply()
    for before in ("ingest", "transform"):
        if before == job:
            return
        getattr(trial.world, before)()
