"""The one command: what it lists, how it ends, how a shell completes it, and how little it imports for that."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest

from operations.cli.main import SECTIONS
from tests.support.commands import totesys

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "scripts" / "totesys"
COMMANDS = [name for commands in SECTIONS.values() for name in commands]
HEAVY = ("boto3", "botocore", "pyarrow", "pyspark", "psycopg2", "rich", "sqlalchemy", "totesys")


def every_command() -> list[tuple[str, ...]]:
    """The words of every command and subcommand."""
    found: list[tuple[str, ...]] = []
    for name in COMMANDS:
        command = getattr(import_module(f"operations.cli.{name}"), name)
        found += [(name, child) for child in command.commands] if isinstance(command, click.Group) else [(name,)]
    return found


def test_help_lists_every_command_with_its_section_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    shown = totesys(capsys, "--help").out
    for title, commands in SECTIONS.items():
        assert f"{title}:" in shown
        for name, line in commands.items():
            assert [shown_line for shown_line in shown if shown_line.split()[:1] == [name]], line
    assert [line.split()[0] for line in shown if line.strip()[:1].isdigit()] == ["0", "1", "2", "130"]


@pytest.mark.parametrize("words", every_command(), ids=" ".join)
def test_every_command_has_help_with_an_example(capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    shown = totesys(capsys, *words, "--help")
    assert shown.code == 0
    assert "Example" in shown.text
    assert f"{' '.join(words)}" in shown.text.split("Example", 1)[1]


def test_what_is_not_understood_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        ["nothing"],
        ["run", "--nothing"],
        ["query"],
        ["query", "--nothing", "SELECT 1"],
        ["query", "--saved", "a", "--database", "star"],
    ):
        ended = totesys(capsys, *words)
        assert (ended.code, ended.out) == (2, []), words
        assert "Error: " in ended.err


def test_help_imports_nothing_that_takes_long() -> None:
    program = (
        "import sys; from operations.cli.main import main; main(['--help']);"
        f"sys.exit(', '.join(name for name in {HEAVY} if name in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture(params=["checkout", "link on the PATH"])
def program(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """How a user calls the command."""
    if request.param == "checkout":
        return str(SCRIPT)
    (tmp_path / "totesys").symlink_to(SCRIPT)
    return "totesys"


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["rec"], ["reconcile"]),
        (["run", "--acc"], ["--accept-deletes"]),
        (["run", "--accept-deletes", "pay"], ["payment_type", "payment"]),
        (["schema", "sh"], ["show"]),
    ],
)
def test_bash_completes_commands_options_and_tables(program: str, tmp_path: Path, words: list[str], completed: list[str]) -> None:
    ask = (
        f'eval "$({SCRIPT} completion bash)"; COMP_WORDS=({program} {" ".join(words)}); COMP_CWORD={len(words)};'
        ' _totesys_completion "${COMP_WORDS[0]}"; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "--norc", "-c", ask], env={**os.environ, **path}, capture_output=True, text=True, check=True)
    assert done.stdout.split() == completed


def test_zsh_asks_the_program_that_is_being_completed(capsys: pytest.CaptureFixture[str]) -> None:
    script = totesys(capsys, "completion", "zsh").text
    assert "zsh_complete ${~words[1]}" in script
    assert "commands[totesys]" not in script, "totesys need not be on the PATH"
