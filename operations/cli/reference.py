"""Write docs/commands.md from the help texts: python -m operations.cli.reference, with the repository and glue_jobs on PYTHONPATH."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from operations.cli.main import SECTIONS, totesys

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "commands.md"
_DOORS = frozenset({"deploy", "destroy", "local"})  # scripts/NAME.sh that only call the command of that name
_WIDTH = 100

_HEAD = """\
# Commands

<!-- Made by operations/cli/reference.py from the help texts. Do not edit it: change the help, and make it again. -->

`scripts/totesys` runs and looks after the pipeline, on AWS and on the local machine. `AWS_ENDPOINT_URL` decides which, and
`eval "$(scripts/local.sh env)"` sets it. `scripts/deploy.sh`, `scripts/destroy.sh` and `scripts/local.sh` install what they need, and then
call `scripts/totesys deploy`, `destroy` and `local`.
"""


def markdown() -> str:
    """Return the whole page."""
    context = _context(totesys, "totesys", None)
    parts = [_HEAD, _block(totesys, context)]
    for section, names in SECTIONS.items():
        parts.append(f"## {section}\n")
        for name in names:
            command = totesys.get_command(context, name)
            if command is None:
                raise LookupError(f"the section {section} names a command that does not exist: {name}")
            for path, one, its_context in _with_subcommands(command, _context(command, name, context)):
                parts.extend((f"{'###' if one is command else '####'} {path}\n", _block(one, its_context)))
    parts.append("## Scripts\n")
    for script in sorted((ROOT / "scripts").glob("*.sh")):
        if script.stem not in _DOORS:
            parts.extend((f"### scripts/{script.name}\n", _fenced(_help_of(script))))
    return "\n".join(parts)


def _with_subcommands(command: click.Command, context: click.Context) -> Iterator[tuple[str, click.Command, click.Context]]:
    yield context.command_path, command, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            if child := command.get_command(context, name):
                yield from _with_subcommands(child, _context(child, name, context))


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    return click.Context(
        command, info_name=name, parent=parent, max_content_width=_WIDTH, terminal_width=_WIDTH, help_option_names=["--help"]
    )


def _block(command: click.Command, context: click.Context) -> str:
    return _fenced(command.get_help(context))


def _fenced(text: str) -> str:
    lines = "\n".join(line.rstrip() for line in text.strip().splitlines())
    return f"```\n{lines}\n```\n"


def _help_of(script: Path) -> str:
    environment = {**os.environ, "COLUMNS": str(_WIDTH)}
    return subprocess.run([script, "--help"], capture_output=True, text=True, check=True, env=environment).stdout


def main() -> int:
    """Write the page."""
    PAGE.write_text(markdown(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
