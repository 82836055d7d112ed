"""The scripts work in any path, or refuse it in one line, whatever the caller's shell, locale, umask and proxies are like."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path.name for path in (ROOT / "scripts").iterdir())
NAME = "o'Neil's check-out (1), 100% é #2"


def checkout(folder: Path) -> Path:
    """A checkout of what is here, in that folder, with the environments that are installed here."""
    shutil.copytree(ROOT, folder, symlinks=True, ignore=shutil.ignore_patterns(".*", "__pycache__", "tests"))
    (folder / ".venv").symlink_to(ROOT / ".venv")
    return folder


def run(command: Sequence[str | Path], cwd: Path = ROOT, umask: int = -1, **variables: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy" and not name.startswith("AWS_")}
    return subprocess.run(
        command, cwd=cwd, env={**inherited, **variables}, umask=umask, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8",
        check=False,
    )  # fmt: skip


def test_the_demo_runs_in_a_path_with_blanks_and_quotes_and_under_hostile_settings(tmp_path: Path) -> None:
    root = checkout(tmp_path / NAME)
    nobody = "http://127.0.0.1:9"
    ended = run(
        ["scripts/demo.sh", "--orders", "100"], root, umask=0o077,
        CDPATH=f"{root}:{ROOT}", HTTP_PROXY=nobody, http_proxy=nobody, HTTPS_PROXY=nobody, LC_ALL="tr_TR.UTF-8", FORCE_COLOR="1",
        COLUMNS="20", _JAVA_OPTIONS="-Duser.language=tr -Duser.country=TR",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "warehouse matches source: 11 of 11 tables" in ended.stdout
    assert any("source table" in line and "star" in line for line in ended.stdout.splitlines()), "a table is folded"
    assert "\x1b[?25l" not in ended.stdout, "a pipe is no terminal, though its text may be coloured"
    assert not (root / ".local-demo").exists()


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_exported_cdpath_sends_no_script_elsewhere(script: str) -> None:
    ended = run(["bash", f"scripts/{script}", "--help"], CDPATH=f"{ROOT}")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.lower().startswith("usage:")


@pytest.mark.parametrize("mark", [":", '"', "$", "`", "\\", "\n"])
def test_a_path_that_no_search_path_can_hold_is_refused_in_one_line(tmp_path: Path, mark: str) -> None:
    root = tmp_path / f"check{mark}out"
    (root / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "setup.sh", root / "scripts")
    ended = run([root / "scripts" / "setup.sh"])
    assert ended.returncode == 1
    assert ended.stderr.startswith("setup: error: the path of this checkout contains one of")
    assert not (root / ".venv").exists()


@pytest.mark.parametrize("mark", [":", '"', "$", "`", "\\", "\n"])
def test_a_local_dir_that_no_search_path_can_hold_is_refused_in_one_line(tmp_path: Path, mark: str) -> None:
    ended = run([ROOT / "scripts" / "local.sh", "up", "--empty"], LOCAL_DIR=str(tmp_path / f"stack{mark}1"))
    assert ended.returncode == 2
    assert ended.stderr.startswith("local: could not start: LOCAL_DIR contains one of")
    assert ended.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options", [["--orders"], ["--keep", "--orders"], ["--orders", ""], ["--orders", "many"], ["--orders", "0"]])
def test_a_demo_without_its_number_of_orders_says_how_it_is_used(options: list[str]) -> None:
    ended = run([ROOT / "scripts" / "demo.sh", *options])
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("usage: scripts/demo.sh")


def test_a_clone_has_unix_lines_whatever_git_is_set_to(tmp_path: Path) -> None:
    git = ["git", "-c", "core.autocrlf=true", "-c", "init.defaultBranch=main"]
    clone = tmp_path / "clone"
    for command in ([*git, "init", "--quiet", clone], [*git, "-C", clone, "add", ".gitattributes", "scripts"]):
        (clone / "scripts").mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "scripts" / "setup.sh", clone / "scripts")
        shutil.copy(ROOT / ".gitattributes", clone)
        assert run(command).returncode == 0
    (clone / "scripts" / "setup.sh").unlink()
    assert run([*git, "-C", clone, "checkout", "--", "scripts"]).returncode == 0
    assert (clone / "scripts" / "setup.sh").read_bytes() == (ROOT / "scripts" / "setup.sh").read_bytes()
