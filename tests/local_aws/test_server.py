"""The launcher as a process: its ports, its schedule, its end."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.local_aws.machine import ROOT, SCRIPTS, LocalAws, free_port, start, stop, wait_until

# The launcher with a clock that runs twenty times as fast, so that a minute takes three seconds: all else is the real thing.
HASTY = """
import sys
from datetime import datetime, timezone
from local_aws.server import main
start = datetime.now(timezone.utc)
sys.exit(main(sys.argv[1:], lambda: start + 20 * (datetime.now(timezone.utc) - start)))
"""


def test_only_the_one_port_on_loopback_is_open(aws: LocalAws) -> None:
    children = psutil.Process(aws.process.pid).children(recursive=True)
    family = [psutil.Process(aws.process.pid), *(child for child in children if child.name() != "java")]  # test_spark.py has those
    listening = {c.laddr for process in family for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN}
    assert {tuple(address) for address in listening} == {("127.0.0.1", aws.port)}


def test_a_busy_port_is_one_clear_line_and_exit_code_1(aws: LocalAws, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "local_aws", "--port", str(aws.port), "--local-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20)
    (line,) = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (1, "")
    assert f"cannot listen on 127.0.0.1:{aws.port}: Address already in use" in line


def hasty(local_dir: Path, *words: str) -> LocalAws:
    local_dir.mkdir()
    port = free_port()
    return start([sys.executable, "-c", HASTY, "--port", str(port), "--local-dir", str(local_dir), *words], local_dir, port)


def test_a_scheduled_trigger_fires_only_with_schedule_and_sigterm_ends_its_job(tmp_path: Path) -> None:
    machines = []
    try:
        for words in ([], ["--schedule"]):
            machine = hasty(tmp_path / str(len(words)), *words)
            machines.append(machine)
            machine.s3.create_bucket(Bucket=SCRIPTS, CreateBucketConfiguration={"LocationConstraint": "eu-west-2"})
            machine.role_of_jobs()
            actions = [{"JobName": machine.job("ticking", "import time; time.sleep(600)")}]
            machine.glue.create_workflow(Name="ticks")
            machine.glue.create_trigger(
                Name="tick", Type="SCHEDULED", Schedule="cron(* * * * ? *)", WorkflowName="ticks", Actions=actions, StartOnCreation=True
            )
        quiet, scheduled = machines
        run = wait_until("the tick", lambda: scheduled.glue.get_workflow_runs(Name="ticks")["Runs"])[-1]
        assert run["Status"] == "RUNNING"
        assert quiet.glue.get_workflow_runs(Name="ticks")["Runs"] == []
        (process,) = wait_until("the job's process", psutil.Process(scheduled.process.pid).children)
    finally:
        assert [stop(machine) for machine in machines] == [0] * len(machines)
    wait_until("end of the job's process", lambda: not process.is_running())


@pytest.mark.parametrize("missing", ["--port", "--local-dir"])
def test_both_arguments_are_required(missing: str) -> None:
    given = {"--port": "1", "--local-dir": "x"}
    words = [word for name, value in given.items() if name != missing for word in (name, value)]
    done = subprocess.run([sys.executable, "-m", "local_aws", *words], cwd=ROOT, capture_output=True, text=True, timeout=20)
    assert (done.returncode, missing in done.stderr) == (2, True)
