"""A launcher as a real process, and what tests say to it through boto3."""

import json
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3

ROOT = Path(__file__).parents[3]
SCRIPTS = "job-scripts"
ROLE = "arn:aws:iam::000000000000:role/job"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(what: str, condition: Callable[[], Any], seconds: float = 120) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


@dataclass(frozen=True)
class LocalAws:
    """A running launcher."""

    port: int
    local_dir: Path
    process: subprocess.Popen[bytes]

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @cached_property
    def client(self) -> Callable[[str], Any]:
        """Gives the client of a service, each time the same."""
        place = {"endpoint_url": self.endpoint, "region_name": "eu-west-2", "aws_access_key_id": "test", "aws_secret_access_key": "test"}
        return cache(lambda service: boto3.client(service, **place))

    @property
    def glue(self) -> Any:
        return self.client("glue")

    @property
    def s3(self) -> Any:
        return self.client("s3")

    @property
    def logs(self) -> Any:
        return self.client("logs")

    @property
    def cloudformation(self) -> Any:
        return self.client("cloudformation")

    def stack(self, name: str, template: dict[str, Any]) -> None:
        """Create or update a stack by a change set, as the deploy does."""
        client, wait = self.cloudformation, {"Delay": 0.1, "MaxAttempts": 100}
        is_new = not any(stack["StackName"] == name for stack in client.describe_stacks()["Stacks"])
        names = {"StackName": name, "ChangeSetName": f"changes-{uuid4().hex}"}
        kind = "CREATE" if is_new else "UPDATE"
        client.create_change_set(**names, ChangeSetType=kind, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_NAMED_IAM"])
        client.get_waiter("change_set_create_complete").wait(**names, WaiterConfig=wait)
        client.execute_change_set(**names)
        client.get_waiter(f"stack_{kind.lower()}_complete").wait(StackName=name, WaiterConfig=wait)

    def role(self, name: str, service: str, *statements: dict[str, Any]) -> str:
        """Create a role that a service may assume; its ARN."""
        trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
        iam, version = self.client("iam"), {"Version": "2012-10-17"}
        created = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({**version, "Statement": [trust]}))
        iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=json.dumps({**version, "Statement": statements}))
        return str(created["Role"]["Arn"])

    def queue(self, name: str, service: str) -> str:
        """Create a queue that a service may fill; its URL."""
        arn = f"arn:aws:sqs:eu-west-2:000000000000:{name}"
        statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sqs:SendMessage", "Resource": arn}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        return str(self.client("sqs").create_queue(QueueName=name, Attributes={"Policy": policy})["QueueUrl"])

    def role_of_jobs(self) -> str:
        """Create the role of the jobs that `job` makes, which may do everything."""
        return self.role("job", "glue.amazonaws.com", {"Effect": "Allow", "Action": "*", "Resource": "*"})

    def upload(self, name: str, source: str) -> str:
        self.s3.put_object(Bucket=SCRIPTS, Key=f"{name}.py", Body=source.encode())
        return f"s3://{SCRIPTS}/{name}.py"

    def job(self, name: str, source: str, **definition: Any) -> str:
        """Create a Python shell job (unless the definition says otherwise) with this source as its script."""
        command = {"Name": definition.pop("kind", "pythonshell"), "ScriptLocation": self.upload(name, source), "PythonVersion": "3.9"}
        self.glue.create_job(Name=name, Role=definition.pop("role", ROLE), Command=command, **definition)
        return name

    def run(self, name: str, **request: Any) -> dict[str, Any]:
        """Start a job and wait for its end."""
        return self.ended(name, self.glue.start_job_run(JobName=name, **request)["JobRunId"])

    def ended(self, name: str, run_id: str) -> dict[str, Any]:
        def final() -> dict[str, Any] | None:
            run: dict[str, Any] = self.glue.get_job_run(JobName=name, RunId=run_id)["JobRun"]
            return None if run["JobRunState"] in ("STARTING", "RUNNING", "STOPPING") else run

        return wait_until(f"end of {name}", final)  # type: ignore[no-any-return]

    def workflow_ended(self, name: str, run_id: str) -> dict[str, Any]:
        def final() -> dict[str, Any] | None:
            run: dict[str, Any] = self.glue.get_workflow_run(Name=name, RunId=run_id, IncludeGraph=True)["Run"]
            return None if run["Status"] in ("RUNNING", "STOPPING") else run

        return wait_until(f"end of {name}", final)  # type: ignore[no-any-return]

    def output(self, run_id: str, group: str = "/aws-glue/python-jobs/output") -> list[str]:
        events = self.logs.get_log_events(logGroupName=group, logStreamName=run_id, startFromHead=True)["events"]
        return [event["message"] for event in events]


def start(argv: list[str], local_dir: Path, port: int) -> LocalAws:
    log = (local_dir / "launcher.log").open("wb")
    process = subprocess.Popen(argv, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
    log.close()

    def is_up() -> bool:
        assert process.poll() is None, (local_dir / "launcher.log").read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/_ministack/health", timeout=10) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    try:
        wait_until("launcher is up", is_up)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return LocalAws(port, local_dir, process)


def stop(machine: LocalAws) -> int:
    machine.process.send_signal(signal.SIGTERM)
    return machine.process.wait(timeout=15)
