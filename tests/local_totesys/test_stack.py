"""`scripts/local.sh`, as a user meets it: up, broken on purpose, up again, down. The environments that setup.sh makes are there already."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import psycopg2
import pytest

from local_totesys import local
from local_totesys.postgres import PostgresError
from local_totesys.stack import Stack, StackError

ROOT = Path(__file__).resolve().parents[2]


def local_sh(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs what local.sh runs after setup."""
    environment = {**os.environ, "LOCAL_DIR": str(folder), "PYTHONPATH": f"{ROOT}:{ROOT / 'glue_jobs'}"}
    command = [sys.executable, "-m", "operations.cli", "local", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def exported(folder: Path) -> dict[str, str]:
    lines = local_sh(folder, "env").stdout.splitlines()
    return dict(shlex.split(line)[1].split("=", 1) for line in lines)


def processes(folder: Path) -> list[int]:
    state = json.loads((folder / "stack.json").read_text())
    return [part["pid"] for part in state.values()]


def is_alive(pid: int) -> bool:
    return bool(Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes())


def count_orders(url: str) -> int:
    connection = psycopg2.connect(url)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM transaction")
        (orders,) = cursor.fetchone()
    connection.close()
    return int(orders)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a stack that is up, with a source of 300 orders."""
    folder = tmp_path_factory.mktemp("stack") / "local"
    try:
        done = local_sh(folder, "up", "--orders", "300")
        assert done.returncode == 0, done.stderr
        yield folder
    finally:
        local_sh(folder, "down")


@pytest.mark.parametrize("name", ["SOURCE", "WAREHOUSE"])
def test_the_urls_are_of_an_owner_who_is_no_superuser(stack: Path, name: str) -> None:
    with closing(psycopg2.connect(exported(stack)[f"TOTESYS_{name}_URL"])) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT rolcreatedb, rolcreaterole, rolsuper, datdba = r.oid FROM pg_roles AS r, pg_database"
            " WHERE rolname = current_user AND datname = current_database()"
        )
        assert cursor.fetchone() == (True, True, False, True)
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("ALTER ROLE owner NOSUPERUSER")


def test_env_has_all_that_the_other_scripts_need(stack: Path) -> None:
    variables = exported(stack)
    assert count_orders(variables["TOTESYS_SOURCE_URL"]) == 300
    psycopg2.connect(variables["TOTESYS_WAREHOUSE_URL"]).close()
    client = boto3.client(
        "sts",
        endpoint_url=variables["AWS_ENDPOINT_URL"],
        region_name=variables["AWS_REGION"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
    )
    assert client.get_caller_identity()["Account"] == "000000000000"
    assert variables["LOCAL_DIR"] == str(stack)
    assert variables["AWS_DEFAULT_REGION"] == variables["AWS_REGION"]


def test_a_second_up_changes_nothing(stack: Path) -> None:
    before = (stack / "stack.json").read_text()
    done = local_sh(stack, "up")
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "Everything is up already.")
    assert (stack / "stack.json").read_text() == before


def test_what_died_is_started_again_at_its_address_with_its_data(stack: Path) -> None:
    before = exported(stack)
    os.kill(Stack(stack).server("source").pid, signal.SIGKILL)
    os.kill(Stack(stack).parts["aws"]["pid"], signal.SIGKILL)
    assert local_sh(stack, "status").returncode == 1
    refused = local_sh(stack, "env")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == "local: could not start: the local stack is not up (source, aws down): run scripts/local.sh up\n"
    assert local_sh(stack, "up").returncode == 0
    assert local_sh(stack, "status").returncode == 0
    assert exported(stack) == before
    assert count_orders(before["TOTESYS_SOURCE_URL"]) == 300


def test_the_schedule_of_a_running_stack_is_not_changed_silently(stack: Path) -> None:
    done = local_sh(stack, "up", "--schedule")
    assert done.returncode == 2
    assert done.stderr.startswith("local: could not start: AWS is up, and its schedule is fixed until it stops")


def test_down_leaves_neither_process_nor_file(tmp_path: Path, stack: Path) -> None:
    folder = tmp_path / "second"  # Beside the first stack, which stays as it is.
    assert local_sh(folder, "up", "--empty").returncode == 0
    assert count_orders(exported(folder)["TOTESYS_SOURCE_URL"]) == 0
    pids = processes(folder)
    assert local_sh(folder, "down").returncode == 0
    assert not any(map(is_alive, pids))
    assert not folder.exists()
    assert local_sh(stack, "status").returncode == 0


def test_a_folder_that_holds_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    done = local_sh(tmp_path, "up")
    assert done.returncode == 2
    assert "holds other files" in done.stderr
    assert local_sh(tmp_path, "down").returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_an_up_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, pids = tmp_path / "half", []

    def refuse(self: Stack, schedule: bool, say: Any) -> None:
        pids.extend(processes(folder))
        raise StackError("AWS does not start: no space left")

    monkeypatch.setattr(Stack, "start_aws", refuse)
    with pytest.raises(StackError, match="AWS does not start: no space left"):
        local.up(Stack(folder), local.fill(None), schedule=False)
    assert len(pids) == 2
    assert not any(map(is_alive, pids))
    assert not folder.exists()


def test_a_full_disk_is_named_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=40_000_000))
    with pytest.raises((StackError, PostgresError), match="has 40 MB free: 500 MB are needed"):
        local.up(Stack(tmp_path / "full"), local.fill(None), schedule=False)
    assert not (tmp_path / "full").exists()


def test_two_commands_do_not_work_on_one_folder_at_once(tmp_path: Path) -> None:
    with Stack(tmp_path / "one").alone():
        done = local_sh(tmp_path / "one", "up", "--empty")
    assert done.returncode == 2
    assert "another command is working on" in done.stderr
