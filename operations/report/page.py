"""Lay out the report as one HTML page without scripts, fonts or links to other files. Every text on it is escaped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from statistics import median

from jinja2 import Environment, PackageLoader, StrictUndefined
from totesys.contracts import load_contracts

from operations.report import charts
from operations.report.gather import BATCHES
from operations.report.model import Report
from operations.status.attention import FRESHNESS, PENDING
from operations.values import age
from operations.workflows.display import JobState

LISTED = 12  # batches in the table


@dataclass(frozen=True)
class Tile:
    """A figure at the top of the page, with a link to its section."""

    name: str
    value: str
    note: str
    section: str
    is_bad: bool = False


@dataclass(frozen=True)
class JobRow:
    """A job's last runs in figures. Seconds are those of successful runs; `own` is without the start."""

    name: str
    runs: int
    failed: int
    last: JobState
    typical: float | None
    longest: float | None
    own: float | None


def render(report: Report) -> str:
    """Return the page."""
    environment = Environment(
        loader=PackageLoader("operations.report", "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"count": count, "utc": utc, "ago": lambda at: f"{age(at, report.made_at)} ago", "seconds": seconds}
    has_runs = any(report.runs.values())
    return environment.get_template("page.html").render(
        report=report,
        tiles=tiles(report),
        calm=list(calm(report)),
        jobs=job_rows(report),
        batches=report.batches[:LISTED],
        freshness=charts.freshness(report.freshness) if report.freshness else None,
        rows=charts.rows(report.batches, tuple(load_contracts().source)) if report.batches else None,
        durations=charts.seconds(report.runs, report.work) if has_runs else None,
        most_batches=BATCHES,
        narrow_batches=charts.NARROW_BATCHES,
    )


def tiles(report: Report) -> list[Tile]:
    """Return the figures that say whether a person is needed."""
    dead = sum(letters.rows for letters in report.dead)
    return [
        _freshness(report),
        _pending(report),
        Tile("held", count(len(report.held), "table"), ", ".join(sorted(report.held)) or "every table flows", "care", bool(report.held)),
        Tile("dead letters", count(dead, "row"), ", ".join(one.table for one in report.dead) or "no row is kept out", "care", dead > 0),
        Tile("jobs", _failed(report), "by their last runs", "workflows", bool(report.failed)),
        Tile("alarms", f"{len(report.alarms)} ringing" if report.alarms else "silent", "in CloudWatch", "care", bool(report.alarms)),
    ]


def _freshness(report: Report) -> Tile:
    if not report.freshness:
        return Tile("freshness", "not known", "no load has reported it", "freshness")
    newest = report.freshness[-1]
    is_late = newest.value > FRESHNESS.total_seconds()
    return Tile("freshness", seconds(newest.value), f"at the load {age(newest.at, report.made_at)} ago", "freshness", is_late)


def _pending(report: Report) -> Tile:
    if report.loaded is None:
        return Tile("pending", "not known", "no load has succeeded lately", "care", True)
    if report.oldest_pending is None:
        newest = f"batch {report.landed} is loaded" if report.landed else "no batch yet"
        return Tile("pending", "0 batches", newest, "rows")
    waited = report.made_at - report.oldest_pending.read_at
    most = " or more" if len(report.pending) == BATCHES else ""
    value = f"{count(len(report.pending), 'batch', 'batches')}{most}"
    return Tile("pending", value, f"the oldest for {age(report.oldest_pending.read_at, report.made_at)}", "care", waited > PENDING)


def _failed(report: Report) -> str:
    failed = [node for node in report.failed if node.kind == "job"]
    off = [node for node in report.failed if node.kind == "trigger"]
    words = [f"{len(failed)} failed"] * bool(failed) + [f"{count(len(off), 'trigger')} off"] * bool(off)
    return ", ".join(words) or "all well"


def calm(report: Report) -> Iterator[str]:
    """Return a sentence for each thing that is well, and for each that is not known."""
    if not report.held:
        yield "No table is held."
    if not report.dead:
        yield "No row is in the dead letter."
    if report.loaded is None:
        yield "Which batches are pending is not known: no load has succeeded lately."
    elif not report.pending:
        yield "No batch is pending." if report.landed else "No batch has landed yet."
    if not report.alarms:
        yield "No alarm rings."


def job_rows(report: Report) -> list[JobRow]:
    """Return the jobs that have run."""
    return [_job_row(job, runs, [point.value for point in report.work.get(job, ())]) for job, runs in report.runs.items() if runs]


def _job_row(job: str, runs: Sequence[JobState], own: Sequence[float]) -> JobRow:
    took = [run.seconds for run in runs if run.state == "SUCCEEDED"]
    failed = sum(run.is_failed for run in runs)
    return JobRow(job, len(runs), failed, runs[0], median(took) if took else None, max(took, default=None), median(own) if own else None)


def count(number: int, singular: str, plural: str = "") -> str:
    """Return a number of things in words."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def utc(at: datetime) -> str:
    """Return a time in UTC, to the minute."""
    return f"{at.astimezone(timezone.utc):%Y-%m-%d %H:%M}"


def seconds(value: float | timedelta | None) -> str:
    """Return a duration in a suitable unit."""
    if value is None:
        return "not known"
    took = value.total_seconds() if isinstance(value, timedelta) else value
    if took < 10:
        return f"{took:.1f} s"
    return f"{took:.0f} s" if took < 120 else f"{took / 60:.0f} min" if took < 7200 else f"{took / 3600:.1f} h"
