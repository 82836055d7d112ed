"""The report's page as a browser shows it: it fits, needs nothing else, runs nothing, and says what is not there yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from operations.report.model import Report, ReportedPoint
from operations.report.page import render, tiles
from tests.operations.report.conftest import NOW, SCRIPT, SeenPage, run

WIDTHS = [375, 640, 1440]
PRINTED = 794  # pixels: A4 upright


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("which", ["full", "empty"])
def test_nothing_overflows_and_the_console_is_silent(
    which: str, width: int, request: pytest.FixtureRequest, look: Callable[..., SeenPage]
) -> None:
    seen = look(render(request.getfixturevalue(which)), width)
    assert seen.overflowing == []
    assert seen.said == []


def test_the_page_needs_no_other_file(full: Report, look: Callable[..., SeenPage], tmp_path: Path) -> None:
    seen = look(render(full), 1440)
    assert [url for url in seen.requested if not url.startswith("data:")] == [(tmp_path / "report.html").as_uri()]
    assert seen.ask("document.querySelectorAll('script, link[rel=stylesheet], img, iframe').length") == 0


def test_nothing_that_aws_says_becomes_markup(full: Report, look: Callable[..., SeenPage]) -> None:
    text = render(full)
    assert SCRIPT not in text
    seen = look(text, 1440)
    assert seen.ask("window.ran") is None
    assert seen.ask(f"document.body.textContent.split({SCRIPT!r}).length - 1") >= 8


def test_wide_tables_scroll_inside_themselves(full: Report, look: Callable[..., SeenPage]) -> None:
    seen = look(render(full), 375)
    inside = "[...document.querySelectorAll('table')].every(one => getComputedStyle(one.parentElement).overflowX == 'auto')"
    assert seen.ask(inside)


@pytest.mark.parametrize(("width", "shown"), [(375, "narrow"), (1440, "wide")])
def test_each_chart_is_drawn_for_the_width_and_has_words(full: Report, look: Callable[..., SeenPage], width: int, shown: str) -> None:
    seen = look(render(full), width)
    assert (
        seen.ask("[...document.querySelectorAll('figure > div')].filter(one => one.offsetWidth).map(one => one.className)") == [shown] * 3
    )
    words = seen.ask("[...document.querySelectorAll('svg')].map(one => [one.getAttribute('aria-label'), one.firstChild.textContent])")
    assert len(words) == 6
    assert all(label and label == title for label, title in words)


def test_dark_and_light_are_both_there_and_paper_is_light(full: Report, look: Callable[..., SeenPage]) -> None:
    def colours(seen: SeenPage) -> Any:
        fill = "getComputedStyle(document.querySelector('svg text')).fill"
        return seen.ask(f"[getComputedStyle(document.body).backgroundColor, {fill}]")

    text = render(full)
    light, dark = colours(look(text, 1440)), colours(look(text, 1440, "dark"))
    assert light[0] != dark[0] and light[1] != dark[1]
    printed = look(text, PRINTED, "dark", "print")
    assert colours(printed)[0] == "rgb(255, 255, 255)"
    assert printed.overflowing == []


def test_what_is_not_there_yet_is_said_in_words(empty: Report) -> None:
    text = render(empty)
    for words in (
        "The source has not been read yet", "No batch has landed yet", "No load has reported its freshness yet",
        "No batch with rows has landed yet", "No job has run yet", "No table is held",
        "was not compared with the source in the last 15 days",
    ):  # fmt: skip
        assert words in text
    assert "<svg" not in text


def test_one_batch_one_run_and_one_point_are_drawn(empty: Report, full: Report, look: Callable[..., SeenPage]) -> None:
    one = replace(
        empty,
        batches=full.batches[:1],
        freshness=(ReportedPoint(NOW, 0.0),),
        runs={"ingest": (run("ingest", 1),), "transform": (), "load": ()},
    )
    seen = look(render(one), 375)
    assert (seen.overflowing, seen.said) == ([], [])


def test_the_tiles_mark_what_needs_a_person(full: Report, empty: Report) -> None:
    assert {tile.name: (tile.value, tile.is_bad) for tile in tiles(full)} == {
        "freshness": ("7 min", False), "pending": ("4 batches", True), "held": ("1 table", True), "dead letters": ("1,204 rows", True),
        "jobs": ("1 failed, 1 trigger off", True), "alarms": ("2 ringing", True),
    }  # fmt: skip
    assert [tile.name for tile in tiles(empty) if tile.is_bad] == []


def test_a_late_load_and_an_unknown_one_are_marked(full: Report) -> None:
    late = replace(full, freshness=(ReportedPoint(NOW - timedelta(minutes=2), 1801.0),), loaded=None)
    marked = {tile.name: (tile.value, tile.is_bad) for tile in tiles(late)}
    assert marked["freshness"] == ("30 min", True)
    assert marked["pending"] == ("not known", True)
