"""The smoke test: deploy, run twice, make every check that needs AWS, and remove everything."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import boto3
from rich.console import Console
from totesys.errors import FatalError, PipelineError

from operations.cli.console import Heading, make_table
from operations.cost.figures import read_prices
from operations.deployment.artifacts import ROOT, code_version
from operations.deployment.deployment import Deployment
from operations.smoke.answers import alert_arrives, answers
from operations.smoke.databases import ChangedDesign, Databases
from operations.smoke.spent import Spent


class Smoke:
    """One smoke test. Every step adds a row to the report: its name, result, seconds and cost in USD."""

    def __init__(self, session: boto3.Session, project: str, databases: Databases, environment: dict[str, str], console: Console) -> None:
        self._session = session
        self._project = project
        self._databases = databases
        self._environment = environment
        self._console = console
        self._spent = Spent(session, project, read_prices()[1])
        self._steps: list[tuple[str, str, float, float]] = []
        self._answers: list[tuple[str, str]] = []
        self._changed: ChangedDesign | None = None

    def test(self) -> None:
        """Run every step, remove everything and print the report. Then raise the first PipelineError, if there was one."""
        self._say(f"the deployment is called {self._project}; if this command is killed, remove it with")
        self._say(f"TOTESYS_PROJECT={self._project} scripts/destroy.sh --yes")
        try:
            self._prove()
        finally:
            failures = self._remove()
            self._report()
        if failures:
            raise FatalError(f"not everything was removed: {'; '.join(failures)}")

    def _prove(self) -> None:
        self._command("deploy", "deploy")
        self._command("first run", "run")
        with self._step("a design gets another name") as results:
            self._changed = self._databases.change_a_design(f" ({self._project})")
            results.append(f"design {self._changed.design_id}")
        self._command("second run", "run")
        with self._step("the new name is in the warehouse") as results:
            found = self._databases.name_in_the_warehouse(self._changed.design_id)
            if found != self._changed.after:
                raise FatalError(f"dim_design calls design {self._changed.design_id} {found!r}, and the source {self._changed.after!r}")
            results.append("yes")
        self._command("reconcile", "reconcile")
        self._command("Athena answers a saved query", "query", "--saved", "freshness")
        with self._step("an alert reaches a subscriber") as results:
            results.append(f"after {alert_arrives(self._session, self._project):.1f} s")
        with self._step("what only AWS can answer") as results:
            self._answers = list(answers(self._session, Deployment.read(self._session, self._project)))
            results.append(f"{len(self._answers)} answers")

    def _remove(self) -> list[str]:
        """Remove everything, even if a removal fails. Return the failures. Ctrl-C is ignored meanwhile."""
        before = signal.signal(signal.SIGINT, signal.SIG_IGN), signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self._say("removing everything; Ctrl-C is ignored until that is done")
        removals: list[Callable[[], None]] = [
            lambda: self._command("destroy", "destroy", "--yes"),
            lambda: self._drop("source"),
            lambda: self._drop("warehouse"),
        ]
        if self._changed:
            removals.insert(0, self._change_back)
        failures = []
        for remove in removals:
            try:
                remove()
            except PipelineError as error:
                failures.append(str(error))
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before):
            signal.signal(number, handler)
        return failures

    def _change_back(self) -> None:
        with self._step("the design gets its name back") as results:
            if self._changed:
                self._databases.change_back(self._changed)
            results.append("done")

    def _drop(self, name: str) -> None:
        with self._step(f"role and tables in the {name} are dropped") as results:
            self._databases.remove(name)
            results.append("done")

    def _command(self, what: str, *words: str) -> None:
        """Run a command of scripts/totesys as a step. FatalError with its last line when it fails, after all its output is printed."""
        with self._step(what) as results:
            done = subprocess.run(
                [str(ROOT / "scripts" / "totesys"), *words], env=self._environment, stdin=subprocess.DEVNULL, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
            )  # fmt: skip
            lines = done.stdout.strip().splitlines() or [""]
            own = f"{words[0]}: "  # a command's lines about its progress begin with it
            if done.returncode:
                self._console.print(done.stdout, markup=False, emoji=False, soft_wrap=True)
                raise FatalError(f"scripts/totesys {words[0]} ended with {done.returncode}: {lines[-1]}")
            results.append(next((line.removeprefix(own) for line in reversed(lines) if line.startswith(own)), lines[-1].strip()))

    @contextmanager
    def _step(self, what: str) -> Iterator[list[str]]:
        """Run one step, which appends its result to the list."""
        results: list[str] = []
        began = time.monotonic()
        try:
            with self._console.status(what):
                yield results
        except BaseException as error:
            results = [f"FAILED: {error}" if isinstance(error, PipelineError) else "INTERRUPTED"]
            raise
        finally:
            seconds = time.monotonic() - began
            self._steps.append((what, results[0], seconds, self._spent.since_last()))
            self._say(f"{what}: {results[0]} ({seconds:.1f} s)")

    def _report(self) -> None:
        usd = sum(cost for *_, cost in self._steps)
        rows = [(what, result, f"{seconds:.1f}", f"{cost:.4f}") for what, result, seconds, cost in self._steps]
        rows.append(("in all", "", f"{sum(seconds for _, _, seconds, _ in self._steps):.1f}", f"{usd:.4f}"))
        where = os.environ.get("AWS_ENDPOINT_URL") or f"AWS {self._session.region_name}"
        columns: list[Heading] = [("step", "left"), ("result", "left"), ("seconds", "right"), ("USD of Glue", "right")]
        self._console.print(make_table(columns, rows, title=f"{self._project}, version {code_version()}, on {where}"))
        if self._answers:
            self._console.print(make_table([("only AWS can answer", "left"), ("answer", "left")], self._answers))

    def _say(self, line: str) -> None:
        self._console.print(f"smoke: {line}", markup=False, emoji=False, soft_wrap=True)
