"""A browser that looks at pages, and a report with something in each of its parts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright
from totesys.contracts import load_contracts
from totesys.lake.manifests import Held

from operations.report.model import Asked, Dead, Node, Registered, Report, ReportedBatch, ReportedPoint, Workflow
from operations.workflows.display import JobState

NOW = datetime(2026, 3, 2, 8, tzinfo=timezone.utc)
SCRIPT = "<script>window.ran = true</script>"
_LONG = "a_name_that_nobody_would_choose_but_that_a_column_of_the_source_may_have_all_the_same_" * 3
_SECONDS = 60  # the longest that the browser may take for anything
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# What reaches out of the window, but for what scrolls inside itself.
_OVERFLOWING = """() => [...document.querySelectorAll("body *")]
    .filter(one => !one.closest(".table") || one.classList.contains("table"))
    .filter(one => { const box = one.getBoundingClientRect(); return box.width && (box.right > innerWidth + 1 || box.left < -1) })
    .map(one => `${one.tagName} ${one.className.baseVal ?? one.className} ${one.textContent.trim().slice(0, 40)}`)"""


@dataclass(frozen=True)
class SeenPage:
    """What a browser saw of a page: what it printed and asked for, what reaches out of the window, and what a question answers."""

    said: list[str]
    requested: list[str]
    overflowing: list[str]
    ask: Callable[[str], Any]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """The system's Chromium. Without one the tests that need it are skipped, except in CI, where they fail."""
    found = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if found is None:
        missing = "no Chromium on the PATH, so nobody looks at the report's page: install it (Debian: apt-get install chromium)"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    with sync_playwright() as driver:
        # Chromium's sandbox does not start as root; these pages are ours.
        started = driver.chromium.launch(executable_path=found, args=["--no-sandbox"] if os.geteuid() == 0 else [], timeout=_SECONDS * 1000)
        yield started
        started.close()


@pytest.fixture
def look(browser: Any, tmp_path: Path) -> Iterator[Callable[..., SeenPage]]:
    """Opens a page's text from a file, in a window of that width."""
    contexts = []

    def open_page(text: str, width: int, scheme: str = "light", media: str = "screen") -> SeenPage:
        path = tmp_path / "report.html"
        path.write_text(text, "utf-8")
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(_SECONDS * 1000)
        said: list[str] = []
        requested: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: requested.append(request.url))
        page.emulate_media(media=media, color_scheme=scheme)
        page.goto(path.as_uri())
        wider = page.evaluate("document.documentElement.scrollWidth > innerWidth")
        return SeenPage(said, requested, (["the page"] if wider else []) + page.evaluate(_OVERFLOWING), page.evaluate)

    yield open_page
    for context in contexts:
        context.close()


def run(job: str, minutes_ago: int, seconds: float = 40.0, state: str = "SUCCEEDED", error: str = "") -> JobState:
    """A run of a job that has ended."""
    started = NOW - timedelta(minutes=minutes_ago)
    return JobState(f"jr_{minutes_ago}", "p-publish", f"p-{job}", state, started, started + timedelta(seconds=seconds), error)


@pytest.fixture
def full() -> Report:
    """Two hundred batches, and at least one of everything that can go wrong, in words that are long or no words at all."""
    tables = list(load_contracts().source)
    batches = [
        ReportedBatch(
            seq, NOW - timedelta(minutes=5 * (200 - seq)), {table: 7 * seq + len(table) for table in tables[: 1 + seq % 11]},
            ("staff",) if seq > 190 else (), ("staff",) if seq == 1 else (), "loaded" if seq < 197 else "published",
        )
        for seq in range(200, 0, -1)
    ]  # fmt: skip
    held = Held(
        "drift", f"staff: column {_LONG} is new {SCRIPT}", f"change it back, or say so {SCRIPT}", "2026-03-02T07:10:00+00:00", 1, 2, 1, 1
    )
    failed = run("load", 3, 12, "FAILED", f"FatalError: {_LONG} {SCRIPT}")
    runs = {
        "ingest": tuple(run("ingest", 5 * ago, 4 + ago % 7) for ago in range(200)),
        "transform": tuple(run("transform", 5 * ago, 30 + ago % 9) for ago in range(200)),
        "load": (failed, *(run("load", 5 * ago, 9 + ago % 5) for ago in range(1, 200))),
    }
    return Report(
        project="p", place="eu-west-2", made_at=NOW, version="v0.2.0-3-g0a1b2c3", deployed_at=NOW - timedelta(days=3),
        workflows=(
            Workflow("p-ingest", (
                (Node("p-ingest-start", "trigger", "deactivated", NOW - timedelta(hours=2), "cron(0/5 * * * ? *)", is_bad=True),),
                (Node("p-ingest", "job", "succeeded", NOW - timedelta(minutes=4), seconds=6.1),),
            )),
            Workflow("p-publish", (
                (Node("p-publish-start", "trigger", "on event", NOW - timedelta(minutes=4), "a batch is pending"),),
                (Node("p-transform", "job", "succeeded", NOW - timedelta(minutes=4), seconds=42.0),),
                (Node("p-publish-load", "trigger", "activated", NOW - timedelta(minutes=3), "p-transform succeeded"),),
                (Node("p-load", "job", "failed", NOW - timedelta(minutes=3), failed.reason, 12.0, is_bad=True),),
            )),
        ),
        read_at=NOW - timedelta(minutes=4), landed=200, published=200, loaded=196, batches=tuple(batches),
        freshness=tuple(
            ReportedPoint(NOW - timedelta(minutes=5 * ago), 400 + 9 * (ago % 30) + (1900 if ago == 60 else 0)) for ago in range(199, -1, -1)
        ),
        runs=runs, work={job: tuple(ReportedPoint(one.started_at, one.seconds / 2) for one in of_job) for job, of_job in runs.items()},
        held={"staff": held}, drift={"design": (f"design.{_LONG} is new {SCRIPT}",)},
        dead=(Dead("payment", 1204, ((f"payment_date: {SCRIPT} is not a date", 1200), (f"{_LONG}: null", 4))),),
        parents=3, alarms=("p-late", f"p-{SCRIPT}"), compared=ReportedPoint(NOW - timedelta(minutes=40), 2),
        contracts=(
            Registered("staff", "source", 3, 7, NOW - timedelta(days=9), (f"staff.{_LONG}: added, text", SCRIPT), False, 20),
            *(Registered(table, "source", 1, 9, NOW - timedelta(days=90), rows=1234567) for table in tables if table != "staff"),
            Registered("fact_payment", "fact", problem=f"no contract of fact_payment is registered {SCRIPT}"),
        ),
        asked=Asked(260, 202),
    )  # fmt: skip


@pytest.fixture
def empty() -> Report:
    """A deployment of a minute ago, of which nothing has run."""
    return Report(
        project="p", place="eu-west-2", made_at=NOW, version="unknown", deployed_at=NOW - timedelta(minutes=1),
        workflows=(Workflow("p-ingest", ()),),
        read_at=None, landed=0, published=0, loaded=0, batches=(), freshness=(), runs={"ingest": (), "transform": (), "load": ()},
        work={"ingest": (), "transform": (), "load": ()}, held={}, drift={}, dead=(), parents=None, alarms=(), compared=None,
        contracts=(Registered("staff", "source", 1, 7, NOW),),
    )  # fmt: skip
