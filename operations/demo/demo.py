"""Run the whole pipeline on a local stack, and follow one change through it.

Runs the same commands as a user, and reads the results from the two databases and the manifests.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg2
from rich.console import Console
from rich.markup import escape
from totesys.errors import PipelineError

from operations.demo.changes import CHANGES, LATE_COMMIT, Subject, choose_subject, subject_rows
from operations.demo.report import Story, print_report, stage_counts

ROOT = Path(__file__).resolve().parents[2]
QUESTION = """
SELECT c.currency_code AS currency, t.payment_type_name AS payment_type, p.paid, count(*) AS versions, sum(p.payment_amount) AS amount
FROM fact_payment AS p
JOIN dim_currency AS c ON c.currency_id = p.currency_id
JOIN dim_payment_type AS t ON t.payment_type_id = p.payment_type_id
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""


class StepFailedError(PipelineError):
    """A step of the demo failed. The message is the end of its output."""


class Demo:
    """One run of the demo. Records how long each step takes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._seconds: dict[str, float] = {}

    def play(self, orders: str) -> None:
        """Run every step, and print the report."""
        self._script(f"local stack with {int(orders):,} orders", "local.sh", "up", "--orders", orders)
        use_stack()
        self._script("deploy", "deploy.sh")
        with closing(psycopg2.connect(os.environ["TOTESYS_SOURCE_URL"])) as late:
            with late.cursor() as cursor:
                cursor.execute(LATE_COMMIT)  # open during the first run, and committed after it
            self._script("first run", "totesys", "run")
            late.commit()
        with databases() as (source, warehouse):
            subject = choose_subject(source)
            before = subject_rows(warehouse, subject)
            counts = [("after the first run", stage_counts(source, warehouse))]
            day = self._script("a business day at the source", "local.sh", "next-day")[-1]
            make_changes(source, subject)
        self._script("second run: only what changed", "totesys", "run")
        with databases() as (source, warehouse):
            after = subject_rows(warehouse, subject)
            counts.append(("after the second run", stage_counts(source, warehouse)))
        answer = self._script("Athena query", "totesys", "query", QUESTION)
        verdict = next(line for line in self._script("reconcile", "totesys", "reconcile") if line.startswith("warehouse "))
        print_report(self._console, Story(counts, self._seconds, day, before, after, answer, verdict))

    @contextmanager
    def _step(self, name: str) -> Iterator[Any]:
        """Show the current step. Yields a function that shows what the step is doing."""
        began, since = time.monotonic(), f"{datetime.now():%H:%M:%S}"
        if not self._console.is_terminal:
            self._console.print(f"{since}  {name}")
        with self._console.status(f"{name}, since {since}") as status:
            yield lambda line: status.update(f"{name}, since {since}  [dim]{line}[/dim]")
        self._seconds[name] = time.monotonic() - began
        self._console.print(f"{datetime.now():%H:%M:%S}  {name}: {self._seconds[name]:.1f} s")

    def _script(self, name: str, script: str, *arguments: str) -> list[str]:
        """Run a script as a step, and return its lines. StepFailedError with the last lines when it fails."""
        command = [str(ROOT / "scripts" / script), *arguments]
        lines: list[str] = []
        with self._step(name) as show:
            with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
                assert process.stdout is not None
                for line in process.stdout:
                    lines.append(line.rstrip("\n"))
                    show(escape(line.strip()[:100]))
            if process.returncode:
                raise StepFailedError("\n".join([f"{name} failed:", *lines[-20:]]))
        return lines


def use_stack() -> None:
    """Use the environment that the local stack prints, and none of the caller's AWS or deployment settings."""
    for variable in [name for name in os.environ if name.startswith(("AWS_", "TOTESYS_"))]:
        del os.environ[variable]
    printed = subprocess.run([ROOT / "scripts" / "local.sh", "env"], capture_output=True, text=True, check=True).stdout
    for word in shlex.split(printed, comments=True):
        name, is_assignment, value = word.partition("=")
        if is_assignment:
            os.environ[name] = value


@contextmanager
def databases() -> Iterator[tuple[Any, Any]]:
    """Yield connections to the source and the warehouse, as their owners."""
    with (
        closing(psycopg2.connect(os.environ["TOTESYS_SOURCE_URL"])) as source,
        closing(psycopg2.connect(os.environ["TOTESYS_WAREHOUSE_URL"])) as warehouse,
    ):
        source.autocommit = warehouse.autocommit = True
        yield source, warehouse


def make_changes(source: Any, subject: Subject) -> None:
    """Make each change in a transaction of its own."""
    with source.cursor() as cursor:
        for _, statement in CHANGES:
            cursor.execute(statement, vars(subject))
