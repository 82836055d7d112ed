"""The smoke test of an account, on this machine: it proves what it says, and leaves nothing behind, also when it is interrupted."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.conftest import RunningStack, run, wait_until
from tests.support.local_aws.machine import ROOT


@pytest.fixture(scope="module")
def undeployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A local stack with 300 orders, to which nothing is deployed."""
    folder = tmp_path_factory.mktemp("smoke") / "stack"
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TOTESYS_", "PYTHON"))}
    environment = {**plain, "LOCAL_DIR": str(folder)}
    try:
        up = run([str(ROOT / "scripts/local.sh"), "up", "--orders", "300"], environment)
        assert up.code == 0, up.err
        exports = run([str(ROOT / "scripts/local.sh"), "env"], environment).out
        environment |= dict(word.split("=", 1) for word in shlex.split(exports) if "=" in word)
        yield RunningStack(folder, environment)
    finally:
        run([str(ROOT / "scripts/local.sh"), "down"], environment)


def left_behind(stack: RunningStack) -> list[object]:
    """Whatever a smoke test may leave: stacks, buckets, roles and tables; and the first design's name, when it is another."""
    stacks = stack.client("cloudformation").list_stacks()["StackSummaries"]
    return [
        *(one["StackName"] for one in stacks if one["StackStatus"] != "DELETE_COMPLETE"),
        *(bucket["Name"] for bucket in stack.client("s3").list_buckets()["Buckets"]),
        *stack.client("sqs").list_queues().get("QueueUrls", ()),
        *(
            row
            for name in ("source", "warehouse")
            for row in stack.rows("SELECT rolname FROM pg_roles WHERE rolname LIKE 'totesys%'", name)
        ),
        *stack.rows("SELECT tablename FROM pg_tables WHERE schemaname IN ('public', 'etl')"),
        *stack.rows("SELECT design_name FROM design WHERE design_name LIKE '%totesys-smoke%'", "source"),
    ]


def test_it_proves_every_step_and_leaves_nothing_behind(undeployed: RunningStack) -> None:
    done = undeployed.script("smoke.sh", "--yes")
    assert done.code == 0, done.out + done.err
    assert "the new name is in the warehouse: yes" in done.out
    assert re.search(r"an alert reaches a subscriber: after \d", done.out)
    assert re.search(r"state of the EVENT trigger, and runs that it started +CREATED; 2 of 2 publish runs", done.out)
    assert re.search(r"what ingest runs on +Python 3\.9\.\d+, glibc \S+, boto3 1\.42\.97 instead of Glue's 1\.21\.21", done.out)
    assert left_behind(undeployed) == []
    for name in ("SOURCE", "WAREHOUSE"):
        password = undeployed.environment[f"TOTESYS_{name}_URL"].split(":")[2].split("@")[0]
        assert password not in done.out + done.err


def test_an_interrupted_one_removes_everything_as_well(undeployed: RunningStack, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [str(ROOT / "scripts/smoke.sh"), "--yes"], cwd=ROOT, env=undeployed.environment, stdout=output, stderr=output,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job ignores it
        )  # fmt: skip
    wait_until("the deploy is done", lambda: "smoke: deploy: " in log.read_text())
    os.killpg(process.pid, signal.SIGINT)  # as a terminal sends it
    assert process.wait(120) == 130, log.read_text()
    assert "first run: INTERRUPTED" in log.read_text()
    assert left_behind(undeployed) == []


def test_a_warehouse_in_use_is_refused_before_anything_is_done(undeployed: RunningStack) -> None:
    with closing(undeployed.connect("warehouse")) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE fact_payment (id int)")
        done = undeployed.script("smoke.sh", "--yes")
        cursor.execute("DROP TABLE fact_payment")
    assert done.code == 2
    assert "the warehouse already has fact_payment, and the smoke test drops what it finds there" in done.err
    assert left_behind(undeployed) == []
