"""Job runs are processes: what they are given, and how their end shows."""

import io
import json
import os
import signal
import zipfile
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from ministack.services import iam, s3

from local_aws.glue.jobs import Jobs
from local_aws.glue.process import Machine
from tests.support.local_aws.machine import ROLE, SCRIPTS, LocalAws, wait_until

SAY_ALL = """
import json, os, sys
print(json.dumps({"argv": sys.argv[1:], "version": sys.version_info[:2], "env": dict(os.environ), "session": os.getpgid(0) == os.getpid()}))
"""
SLEEP = "import time; print('asleep', flush=True); time.sleep(600)"


def test_a_job_gets_glues_arguments_on_its_command_line_and_the_machine_in_its_environment(aws: LocalAws) -> None:
    aws.job("say-all", SAY_ALL, DefaultArguments={"--a": "1", "--b": "2", "--library-set": "none", "--enable-metrics": "true"})
    run = aws.run("say-all", Arguments={"--b": "3 and more"})
    assert (run["JobRunState"], run["Arguments"]) == ("SUCCEEDED", {"--b": "3 and more"})
    said = json.loads(aws.output(run["Id"])[0])
    assert said["argv"] == ["--a", "1", "--b", "3 and more", "--JOB_NAME", "say-all", "--JOB_RUN_ID", run["Id"]]
    assert said["version"] == [3, 9]
    assert said["session"]
    assert said["env"]["LOCAL_DIR"] == str(aws.local_dir)
    assert said["env"]["AWS_ENDPOINT_URL"] == aws.endpoint
    assert said["env"]["AWS_DEFAULT_REGION"] == "eu-west-2"
    assert run["CompletedOn"] >= run["StartedOn"]


@pytest.mark.parametrize(("kind", "argument"), [("pythonshell", "--extra-py-files"), ("glueetl", "--additional-python-modules")])
def test_a_job_runs_with_the_wheel_that_was_uploaded_last(aws: LocalAws, kind: str, argument: str) -> None:
    name, info = f"wheel-{kind}", "of_the_wheel-1.0.dist-info"
    uri = f"s3://{SCRIPTS}/{kind}/of_the_wheel-1.0-py3-none-any.whl"
    aws.job(name, "import of_the_wheel; print(of_the_wheel.VALUE)", kind=kind, DefaultArguments={argument: uri})
    group = "/aws-glue/python-jobs/output" if kind == "pythonshell" else "/aws-glue/jobs/output"
    for value in ("first", "second"):
        wheel = io.BytesIO()
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("of_the_wheel.py", f"VALUE = {value!r}")
            archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: of-the-wheel\nVersion: 1.0\n")
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{info}/RECORD", "")
        aws.s3.put_object(Bucket=SCRIPTS, Key=uri.removeprefix(f"s3://{SCRIPTS}/"), Body=wheel.getvalue())
        assert aws.output(aws.run(name)["Id"], group) == [value]


def test_nothing_is_installed_from_a_registry(aws: LocalAws) -> None:
    aws.job("registry", "print('never')", kind="glueetl", DefaultArguments={"--additional-python-modules": "requests==2.0"})
    run = aws.run("registry")
    assert run["JobRunState"] == "FAILED"
    assert "requests==2.0 is not a .whl" in run["ErrorMessage"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise ValueError('the bucket is missing')", "ValueError: the bucket is missing"),
        ("import sys; sys.exit('source is down: start it')", "source is down: start it"),
        ("import sys; sys.exit(3)", "Command failed with exit code 3"),
        (
            "import sys; sys.exit(0)",
            "SystemExit: 0: Glue counts a job that exits as failed, whatever the code. Let the script end by itself",
        ),
        ("import os; os.kill(os.getpid(), 9)", "Command was killed by signal 9 (SIGKILL)"),
    ],
)
def test_a_failed_process_fails_the_run_with_one_line(aws: LocalAws, source: str, message: str) -> None:
    name = aws.job(f"fail-{abs(hash(source))}", source)
    run = aws.run(name)
    assert (run["JobRunState"], run["ErrorMessage"]) == ("FAILED", message)


def test_a_missing_script_fails_the_run(aws: LocalAws) -> None:
    aws.job("no-script", "")
    aws.s3.delete_object(Bucket=SCRIPTS, Key="no-script.py")
    run = aws.run("no-script")
    assert run["JobRunState"] == "FAILED"
    assert f"s3://{SCRIPTS}/no-script.py does not exist" in run["ErrorMessage"]


def test_output_is_in_the_logs_while_the_job_runs_and_death_by_kill_9_fails_it(aws: LocalAws) -> None:
    aws.job("killed", "import os\nprint(os.getpid(), flush=True)\n" + SLEEP)
    run_id = aws.glue.start_job_run(JobName="killed")["JobRunId"]

    def lines() -> list[str]:
        try:
            return aws.output(run_id)
        except ClientError:
            return []

    pid = int(wait_until("a line in the log", lines)[0])
    assert aws.glue.get_job_run(JobName="killed", RunId=run_id)["JobRun"]["JobRunState"] == "RUNNING"
    os.kill(pid, signal.SIGKILL)
    run = aws.ended("killed", run_id)
    assert (run["JobRunState"], run["ErrorMessage"]) == ("FAILED", "Command was killed by signal 9 (SIGKILL)")


def test_stopping_a_run_ends_the_process_and_all_its_children(aws: LocalAws, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    aws.job(
        "stopped",
        "import os, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(pids)!r} + '.new', 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        f"os.rename({str(pids)!r} + '.new', {str(pids)!r})\n" + SLEEP,
    )
    run_id = aws.glue.start_job_run(JobName="stopped")["JobRunId"]
    wait_until("the child", pids.exists)
    answer = aws.glue.batch_stop_job_run(JobName="stopped", JobRunIds=[run_id, "jr_unknown"])
    assert [stopped["JobRunId"] for stopped in answer["SuccessfulSubmissions"]] == [run_id]
    assert answer["Errors"][0]["ErrorDetail"]["ErrorCode"] == "EntityNotFoundException"
    assert aws.ended("stopped", run_id)["JobRunState"] == "STOPPED"
    for pid in pids.read_text().split():
        wait_until(f"end of process {pid}", lambda pid=pid: is_gone(int(pid)))


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_second_run_is_refused_unless_the_job_allows_it(aws: LocalAws) -> None:
    aws.job("one-at-a-time", SLEEP)
    first = aws.glue.start_job_run(JobName="one-at-a-time")["JobRunId"]
    with pytest.raises(aws.glue.exceptions.ConcurrentRunsExceededException):
        aws.glue.start_job_run(JobName="one-at-a-time")
    aws.glue.batch_stop_job_run(JobName="one-at-a-time", JobRunIds=[first])
    aws.ended("one-at-a-time", first)
    job = aws.glue.get_job(JobName="one-at-a-time")["Job"]
    command = {"Role": job["Role"], "Command": job["Command"], "ExecutionProperty": {"MaxConcurrentRuns": 2}}
    aws.glue.update_job(JobName="one-at-a-time", JobUpdate=command)
    runs = [aws.glue.start_job_run(JobName="one-at-a-time")["JobRunId"] for _ in range(2)]
    aws.glue.batch_stop_job_run(JobName="one-at-a-time", JobRunIds=runs)
    assert [aws.ended("one-at-a-time", run)["JobRunState"] for run in runs] == ["STOPPED", "STOPPED"]


def test_a_run_past_its_timeout_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "glue.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
    everything = {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    role = {"Arn": ROLE, "RoleId": "AROA", "AssumeRolePolicyDocument": trust, "InlinePolicies": {"all": everything}}
    monkeypatch.setitem(iam._roles, "job", role)
    s3._buckets["timeouts"] = {"objects": {}}
    s3._put_object("timeouts", "slow.py", SLEEP.encode(), {})
    jobs = Jobs(Machine(tmp_path, "http://127.0.0.1:1"))
    command = {"Name": "pythonshell", "ScriptLocation": "s3://timeouts/slow.py"}
    jobs.actions()["CreateJob"]({"Name": "slow", "Role": "job", "Command": command, "Timeout": 1})
    run = jobs.start("slow", {})
    wait_until("its process", lambda: run.state == "RUNNING")
    run.started_on -= 61
    wait_until("its end", lambda: run.completed_on)
    assert (run.state, run.error) == ("TIMEOUT", "Job run timed out after 1 minutes")


def states_of(aws: LocalAws, queue: str, name: str) -> Any:
    for message in aws.client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", []):
        event = json.loads(message["Body"])
        if event["detail"]["jobName"] == name:
            return event
    return None


@pytest.mark.parametrize(("source", "state"), [("pass", "SUCCEEDED"), ("raise SystemExit('no')", "FAILED")])
def test_the_end_of_a_run_is_an_event(aws: LocalAws, source: str, state: str) -> None:
    name = f"event-{state}"
    bus = aws.client("events")
    bus.put_rule(Name=name, EventPattern=json.dumps({"source": ["aws.glue"], "detail-type": ["Glue Job State Change"]}))
    queue = aws.queue(name, "events.amazonaws.com")
    bus.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": f"arn:aws:sqs:eu-west-2:000000000000:{name}"}])
    run = aws.run(aws.job(name, source))
    event = wait_until("the event", lambda: states_of(aws, queue, name))
    assert (event["detail"]["state"], event["detail"]["jobRunId"]) == (state, run["Id"])
    bus.remove_targets(Rule=name, Ids=["queue"])
    bus.delete_rule(Name=name)


@pytest.mark.parametrize(
    ("kind", "version", "sdk"), [("pythonshell", [3, 9], ["1.21.21", "1.24.21"]), ("glueetl", [3, 11], ["1.34.131", "1.34.131"])]
)
def test_a_job_has_the_python_and_the_sdk_of_glue(aws: LocalAws, kind: str, version: list[int], sdk: list[str]) -> None:
    source = "import boto3, botocore, json, sys; print(json.dumps([sys.version_info[:2], boto3.__version__, botocore.__version__]))"
    run = aws.run(aws.job(f"sdk-{kind}", source, kind=kind))
    group = "/aws-glue/python-jobs/output" if kind == "pythonshell" else "/aws-glue/jobs/output"
    assert json.loads(aws.output(run["Id"], group)[0]) == [version, *sdk]


def test_a_wheel_that_demands_others_cannot_be_installed(aws: LocalAws) -> None:
    wheel, info = io.BytesIO(), "demanding-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: demanding\nVersion: 1.0\nRequires-Dist: requests\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    aws.s3.put_object(Bucket=SCRIPTS, Key="demanding-1.0-py3-none-any.whl", Body=wheel.getvalue())
    uri = f"s3://{SCRIPTS}/demanding-1.0-py3-none-any.whl"
    run = aws.run(aws.job("demanding", "print('never')", DefaultArguments={"--extra-py-files": uri}))
    assert run["JobRunState"] == "FAILED"
    assert "demanding-1.0-py3-none-any.whl cannot be installed: ERROR: No matching distribution found for requests" in run["ErrorMessage"]
