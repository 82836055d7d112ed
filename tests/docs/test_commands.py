"""docs/commands.md is what the help texts say now."""

from __future__ import annotations

from operations.cli.reference import PAGE, markdown


def test_the_page_of_commands_is_made_from_the_help_texts_as_they_are() -> None:
    assert PAGE.read_text("utf-8") == markdown(), "run: PYTHONPATH=.:glue_jobs .venv/main/bin/python -m operations.cli.reference"
