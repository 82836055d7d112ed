"""After rounds of work, the databases' passwords stand in Secrets Manager and nowhere else."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.conftest import ROOT, Done, Round, RunningStack

SECRETS = ("totesys/source", "totesys/warehouse")


@pytest.fixture(scope="session")
def passwords(stack: RunningStack) -> list[str]:
    """Those that the deploy made for the pipeline's roles."""
    client = stack.client("secretsmanager")
    found = [json.loads(client.get_secret_value(SecretId=name)["SecretString"])["password"] for name in SECRETS]
    assert min(map(len, found)) > 20
    return found


def logs(stack: RunningStack) -> Iterator[str]:
    client = stack.client("logs")
    for group in client.describe_log_groups()["logGroups"]:
        for page in client.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"]):
            yield from (event["message"] for event in page["events"])
    for file in stack.folder.rglob("*.log"):
        yield file.read_text(errors="replace")


def catalog(stack: RunningStack) -> Iterator[Any]:
    glue = stack.client("glue")
    for job in glue.get_jobs()["Jobs"]:
        yield job
        yield from glue.get_paginator("get_job_runs").paginate(JobName=job["Name"])
    yield glue.get_triggers()
    yield glue.get_connections()
    for database in glue.get_databases()["DatabaseList"]:
        yield glue.get_tables(DatabaseName=database["Name"])


def templates(stack: RunningStack) -> Iterator[Any]:
    client = stack.client("cloudformation")
    for found in client.describe_stacks()["Stacks"]:
        yield found
        yield client.get_template(StackName=found["StackName"])


def repository(stack: RunningStack) -> Iterator[str]:
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    yield from ((ROOT / name).read_text(errors="replace") for name in names if (ROOT / name).is_file())


@pytest.mark.parametrize("place", [logs, catalog, templates, repository])
def test_no_password_is_in(stack: RunningStack, second: Round, without_warehouse: Done, passwords: list[str], place: Any) -> None:
    texts = [one if isinstance(one, str) else json.dumps(one, default=str) for one in place(stack)]
    assert texts
    assert [text[:80] for text in texts for password in passwords if password in text] == []


def test_no_password_is_in_a_command_line_or_in_what_a_script_prints(
    stack: RunningStack, first: Round, second: Round, without_warehouse: Done, passwords: list[str]
) -> None:
    assert any("glue_jobs" in command or "load.py" in command for command in stack.commands)
    printed = [text for done in (first.run, second.run, without_warehouse) for text in (done.out, done.err)]
    assert [text[:80] for text in (*stack.commands, *printed) for password in passwords if password in text] == []
