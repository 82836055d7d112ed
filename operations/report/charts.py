"""Draw the report's charts as SVG. Each is drawn twice, for wide and for narrow screens, because scaled-down text cannot be read.

Colours are the page's CSS variables, so a chart follows the page's light, dark and printed form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import altair as alt
import vl_convert
from markupsafe import Markup, escape

from operations.report.model import ReportedBatch, ReportedPoint
from operations.status.attention import FRESHNESS
from operations.workflows.display import JobState

_WIDE, _NARROW = 1000, 340  # pixels
NARROW_BATCHES = 50  # more columns cannot be distinguished on a narrow screen
_LABELS_TAKE = 112  # pixels, left of the rows by table
_SECONDS_TAKE = 44  # pixels, left of the seconds
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif"
_TICKS = (1, 10, 60, 600, 3600, 6 * 3600, 86400, 7 * 86400)  # seconds
_TICK_LABELS = (
    "datum.value < 60 ? format(datum.value, 'd') + ' s' : datum.value < 3600 ? format(datum.value / 60, 'd') + ' min'"
    " : datum.value < 86400 ? format(datum.value / 3600, 'd') + ' h' : format(datum.value / 86400, 'd') + ' d'"
)
_SIZES = ((1000, "1,000 or more"), (100, "100 to 999"), (10, "10 to 99"), (1, "1 to 9"))  # the fewest rows of a class, and its name
HELD = "held"


@dataclass(frozen=True)
class Chart:
    """A chart in both widths. `alt` says in words what it shows."""

    wide: Markup
    narrow: Markup
    alt: str


def freshness(points: Sequence[ReportedPoint]) -> Chart:
    """Draw how old a change could be when its load committed, for each load."""
    ages = [max(1.0, point.value) for point in points]
    values = [{"at": _utc(point.at), "seconds": age} for point, age in zip(points, ages, strict=True)]
    least, most = min(ages), max(ages)
    promised = FRESHNESS.total_seconds()
    bottom = max(tick for tick in _TICKS if tick <= max(1.0, least / 2))
    top = max(promised * 2, most * 1.2)

    def draw(width: int) -> Any:
        x = alt.X("at:T", title=None, axis=_time_axis(width, points[0].at, points[-1].at))
        y = alt.Y(
            "seconds:Q", title=None, scale=alt.Scale(type="log", domain=[bottom, top], nice=False),
            axis=alt.Axis(values=[tick for tick in _TICKS if bottom <= tick <= top], labelExpr=_TICK_LABELS),
        )  # fmt: skip
        line = alt.Chart(alt.InlineData(values=values)).mark_line(strokeWidth=1, opacity=0.45, color="var(--accent)").encode(x, y)
        dots = alt.Chart(alt.InlineData(values=values)).mark_circle(size=26, opacity=1).encode(
            x, y, color=alt.condition(f"datum.seconds > {promised}", alt.value("var(--bad)"), alt.value("var(--accent)"))
        )  # fmt: skip
        limit = alt.Chart(alt.InlineData(values=[{"seconds": promised}])).encode(y="seconds:Q")
        rule = limit.mark_rule(strokeDash=[4, 3], color="var(--bad)", strokeWidth=1)
        label = limit.mark_text(align="left", baseline="bottom", dx=4, dy=-3, color="var(--bad)", fontSize=11).encode(
            x=alt.value(0), text=alt.value("promised: 30 min")
        )
        return (rule + line + dots + label).properties(width="container", height=220)

    late = sum(age > promised for age in ages)
    return _chart(draw, f"Freshness of {len(values)} loads: at worst {_spoken(most)}; {late} of them later than the promised 30 minutes.")


def rows(batches: Sequence[ReportedBatch], tables: Sequence[str]) -> Chart:
    """Draw rows by table and batch: a grid with a column for each batch, the oldest on the left."""
    oldest_first = list(reversed(batches))

    def draw(width: int) -> Any:
        some = oldest_first if width == _WIDE else oldest_first[-NARROW_BATCHES:]
        values = [
            {"batch": batch.seq, "table": table, "size": HELD if table in batch.held else _size(batch.rows[table])}
            for batch in some
            for table in (*batch.rows, *batch.held)
        ]
        order = [batch.seq for batch in some]
        sizes = [*(name for _, name in reversed(_SIZES)), *[HELD] * any(batch.held for batch in some)]
        colours = ["var(--rows-1)", "var(--rows-2)", "var(--rows-3)", "var(--rows-4)", "var(--bad)"]
        column = max(1.0, (width - _LABELS_TAKE) / max(1, len(order)))
        every = max(1, round(46 / column))
        return (
            alt.Chart(alt.InlineData(values=values))
            .mark_rect(cornerRadius=1, stroke="var(--paper)", strokeWidth=min(2.0, column / 6))
            .encode(
                alt.X(
                    "batch:O", title=None, scale=alt.Scale(domain=order, paddingInner=0, paddingOuter=0),
                    axis=alt.Axis(values=order[::-every][::-1], labelAngle=0, domain=False, ticks=False, labelOverlap=True),
                ),
                alt.Y("table:N", title=None, scale=alt.Scale(domain=list(tables)), axis=alt.Axis(domain=False, ticks=False)),
                alt.Color(
                    "size:N", title=None, scale=alt.Scale(domain=sizes, range=colours[: len(sizes)]),
                    legend=alt.Legend(orient="top", symbolType="square", columns=5 if width == _WIDE else 2, columnPadding=22),
                ),
            )
            .properties(width="container", height=alt.Step(22 if width == _WIDE else 20))
        )  # fmt: skip

    total = sum(batch.total for batch in batches)
    words = f"Rows by table in batches {oldest_first[0].seq} to {oldest_first[-1].seq}: {total:,} rows in {len(batches)} batches."
    return _chart(draw, words)


def seconds(runs: Mapping[str, Sequence[JobState]], work: Mapping[str, Sequence[ReportedPoint]]) -> Chart:
    """Draw how long each run of a job took, and how long the job itself took, without its start."""
    ran = {job: of_job for job, of_job in runs.items() if of_job}
    first = min(run.started_at for of_job in ran.values() for run in of_job)
    last = max(run.started_at for of_job in ran.values() for run in of_job)

    def draw(width: int) -> Any:
        scale = alt.Scale(domain=[_utc(first), _utc(last)] if first < last else alt.Undefined)
        x = alt.X("at:T", title=None, scale=scale, axis=_time_axis(width, first, last))
        y = alt.Y("seconds:Q", title=None, axis=alt.Axis(tickCount=3, labelExpr="format(datum.value, ',') + ' s'", minExtent=_SECONDS_TAKE))
        rows = []
        for job, of_job in ran.items():
            ended = [{"at": _utc(run.started_at), "seconds": run.seconds, "is_failed": run.is_failed} for run in of_job if run.completed_at]
            own = [{"at": _utc(point.at), "seconds": point.value} for point in work.get(job, ()) if first <= point.at <= last]
            dots = alt.Chart(alt.InlineData(values=ended)).mark_circle(size=22, opacity=0.9).encode(
                x, y, color=alt.condition("datum.is_failed", alt.value("var(--bad)"), alt.value("var(--accent)"))
            )  # fmt: skip
            line = alt.Chart(alt.InlineData(values=own)).mark_line(strokeWidth=1.5, color="var(--soft)").encode(x, y)
            title = alt.TitleParams(job, anchor="start", frame="group", fontSize=12, fontWeight=600, offset=6)
            rows.append((line + dots).properties(width=width, height=96, title=title))
        return alt.vconcat(*rows, spacing=18)

    told = "; ".join(f"{job}: {len(of_job)} runs, {sum(run.is_failed for run in of_job)} failed" for job, of_job in ran.items())
    return _chart(draw, f"Seconds per run of each job. {told}.")


def _chart(draw: Any, words: str) -> Chart:
    return Chart(_svg(draw(_WIDE), _WIDE, words), _svg(draw(_NARROW), _NARROW, words), words)


def _svg(chart: Any, width: int, words: str) -> Markup:
    """Return the chart as an SVG element of that width that has a title, and no description of each of its marks."""
    spec = chart.configure(
        background="transparent", font=_FONT, aria=False, padding={"left": 8, "right": 4, "top": 2, "bottom": 2},
        autosize=alt.AutoSizeParams(type="fit-x", contains="padding"),
        view=alt.ViewConfig(stroke=None),
        axis=alt.AxisConfig(
            labelColor="var(--soft)", gridColor="var(--line)", domainColor="var(--line)", tickColor="var(--line)", labelFontSize=11,
            labelLimit=_LABELS_TAKE,
        ),
        title=alt.TitleConfig(color="var(--ink)"),
        legend=alt.LegendConfig(labelColor="var(--soft)", labelFontSize=11, symbolStrokeWidth=0),
    ).to_dict()  # fmt: skip
    if spec.get("width") == "container":
        spec["width"] = width
    svg = vl_convert.vegalite_to_svg(spec)
    opening, _, drawing = svg.partition(">")
    role = f' role="img" aria-label="{escape(words)}"'
    # vl-convert escapes the text in its SVG.
    return Markup(f"{opening}{role}><title>{escape(words)}</title>{drawing}")  # nosec B704


def _time_axis(width: int, first: datetime, last: datetime) -> alt.Axis:
    written = "%H:%M" if last - first < timedelta(days=1) else "%d %b %H:%M" if last - first < timedelta(days=4) else "%d %b"
    return alt.Axis(grid=False, tickCount=8 if width == _WIDE else 3, format=written, labelOverlap="greedy", labelFlush=False)


def _size(count: int) -> str:
    return next(name for fewest, name in _SIZES if count >= fewest)


def _utc(at: datetime) -> str:
    """Return the time without its zone: Vega then shows it as it is, wherever the report is made."""
    return at.astimezone(timezone.utc).replace(tzinfo=None).isoformat(timespec="milliseconds")


def _spoken(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"
