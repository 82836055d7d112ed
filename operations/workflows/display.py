"""Show the jobs of workflow runs: a live table on a terminal, and a line per change in a log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from operations.cli.console import Heading, make_table

_FAILED = frozenset({"FAILED", "TIMEOUT", "STOPPED", "ERROR"})
_COLUMNS: list[Heading] = [("workflow", "left"), ("job", "left"), ("state", "left"), ("since", "left"), ("seconds", "right")]


@dataclass(frozen=True)
class JobState:
    """One run of a job, as Glue describes it. Times are aware; `error` is one line, empty when there is none."""

    run_id: str
    workflow: str
    job: str
    state: str
    started_at: datetime
    completed_at: datetime | None
    error: str

    @property
    def is_failed(self) -> bool:
        return self.state in _FAILED

    @property
    def reason(self) -> str:
        """Why it failed."""
        return self.error or "it left no message: see its log"

    @property
    def seconds(self) -> float:
        """How long it has run so far, or ran."""
        return ((self.completed_at or datetime.now(timezone.utc)) - self.started_at).total_seconds()


class RunDisplay:
    """Keeps every job run that it was shown. Use it as a context: at its end, the table stays on the screen and is no longer updated."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._jobs: dict[str, JobState] = {}
        self._live = Live(console=console, get_renderable=self._table, refresh_per_second=4) if console.is_terminal else None

    def __enter__(self) -> RunDisplay:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live:
            self._live.transient = not self._jobs  # before the first job, the table is empty and need not stay
            self._live.stop()

    def say(self, line: str) -> None:
        """Print a line, above the table if there is one."""
        self._console.print(line, markup=False)

    def show(self, jobs: list[JobState]) -> None:
        """Show the jobs as they are now."""
        for job in jobs:
            before = self._jobs.get(job.run_id)
            self._jobs[job.run_id] = job
            if not self._live and (before is None or before.state != job.state):
                after = f" after {job.seconds:.1f} s" if job.completed_at else ""
                self.say(f"{datetime.now():%H:%M:%S} {job.job} {job.state}{after}")

    def _table(self) -> Table | Text:
        if not self._jobs:
            return Text("starting")
        return make_table(_COLUMNS, [_cells(job) for job in self._jobs.values()])


def _cells(job: JobState) -> list[str | Text]:
    style = "red" if job.is_failed else "green" if job.state == "SUCCEEDED" else "yellow"
    return [job.workflow, job.job, Text(job.state, style=style), f"{job.started_at.astimezone():%H:%M:%S}", f"{job.seconds:.1f}"]
