"""docs/commands.md is what the help texts say now, and documents name only commands and options that exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from operations.cli.main import SECTIONS, totesys
from operations.cli.reference import PAGE, markdown
from tests.docs.documents import DOCUMENTS, README, name_of, text

COMMANDS = {name for names in SECTIONS.values() for name in names}


def options(command: click.Command) -> Iterator[str]:
    """Yield every option of a command and of its subcommands."""
    yield from (name for parameter in command.params for name in parameter.opts if name.startswith("--"))
    if isinstance(command, click.Group):
        for child in command.commands.values():
            yield from options(child)


def test_the_page_of_commands_is_made_from_the_help_texts_as_they_are() -> None:
    assert text(PAGE) == markdown(), "run: PYTHONPATH=.:glue_jobs .venv/main/bin/python -m operations.cli.reference"


def test_every_command_is_in_the_readme() -> None:
    table = text(README).partition("| command |")[2].partition("\n\n")[0]
    assert not {name for name in COMMANDS if not re.search(rf"(totesys |`|scripts/){name}\b", table)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_command_and_option_that_a_document_names_exists(document: Path) -> None:
    wrong = []
    for name, rest in re.findall(r"scripts/totesys (?:([a-z]+))\b([^`\n]*)", text(document)):
        command = totesys.get_command(click.Context(totesys), name)
        known = {*options(command), "--help"} if command else set()
        wrong.extend(found for found in re.findall(r"--[a-z-]+", rest.partition("#")[0]) if found not in known)
        wrong.extend([] if command else [name])
    assert not wrong
