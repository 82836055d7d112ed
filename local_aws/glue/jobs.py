"""Glue jobs and their runs: definitions as the API keeps them, and runs that follow a real process from start to end."""

import contextvars
import copy
import secrets
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ministack.services import glue

from local_aws.api import LOCK, Action, AwsError, Record, invalid, not_found
from local_aws.cloudwatch.logs import GROUPS, LogStream
from local_aws.glue.jvms import Jvms, NoJvm
from local_aws.glue.process import Machine, failure, is_spark, kill_group, prepare
from local_aws.glue.wheels import NotAWheel
from local_aws.iam.permissions import Denied
from local_aws.iam.roles import NotAssumed, assume
from local_aws.s3.objects import NoSuchObject

ACTIVE = frozenset({"STARTING", "RUNNING", "STOPPING"})
_SEND_LOGS_EVERY = 1.0  # seconds
_CAPACITY = ("GlueVersion", "MaxCapacity", "NumberOfWorkers", "WorkerType")
# CloudFormation turns the text of a template's parameter into the property's type; ministack leaves it as text.
_NUMBERS: dict[str, Callable[[Any], float]] = {"MaxCapacity": float, "MaxRetries": int, "NumberOfWorkers": int, "Timeout": int}
_DEFAULT_TIMEOUT = 2880  # minutes, Glue's default
_PAGE = 3  # the largest number of runs in one answer


@dataclass
class JobRun:
    """A job run. Times are seconds since the epoch. `ending` is the state that a stopped run is about to get."""

    id: str
    job: Record
    arguments: dict[str, str]
    timeout: int
    trigger: str = ""
    workflow: tuple[str, str] | None = None  # name and run id
    state: str = "STARTING"
    error: str = ""
    ending: str = ""
    started_on: float = field(default_factory=time.time)
    completed_on: float | None = None
    process: subprocess.Popen[bytes] | None = None

    @property
    def job_name(self) -> str:
        return self.job["Name"]

    def record(self) -> Record:
        """The run as GetJobRun returns it."""
        end = self.completed_on or time.time()
        answer: Record = {
            "Id": self.id,
            "Attempt": 0,
            "JobName": self.job_name,
            "StartedOn": self.started_on,
            "LastModifiedOn": end,
            "JobRunState": self.state,
            "Arguments": self.arguments,
            "PredecessorRuns": [],
            "ExecutionTime": int(end - self.started_on),
            "Timeout": self.timeout,
            "LogGroupName": _log_group(self.job),
        }
        answer.update({name: self.job[name] for name in _CAPACITY if self.job.get(name)})
        if self.trigger:
            answer["TriggerName"] = self.trigger
        if self.completed_on is not None:
            answer["CompletedOn"] = self.completed_on
        if self.error:
            answer["ErrorMessage"] = self.error
        return answer


class Jobs:
    """Starts, watches and stops job runs. `listeners` hear of every run that has ended, outside the lock."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._jvms = Jvms()
        self._closed = False
        self.listeners: list[Callable[[JobRun], None]] = []

    def actions(self) -> dict[str, Action]:
        return {
            "CreateJob": self._create,
            "UpdateJob": self._update,
            "StartJobRun": self._start_job_run,
            "BatchStopJobRun": self._batch_stop,
            "GetJobRun": self._get_run,
            "GetJobRuns": self._get_runs,
        }

    def start(self, name: str, arguments: dict[str, str], timeout: int | None = None, trigger: str = "", workflow: Any = None) -> JobRun:
        """Start a run, or refuse as Glue refuses: EntityNotFoundException, ConcurrentRunsExceededException."""
        with LOCK:
            job = copy.deepcopy(_job(name))
            most = int((job.get("ExecutionProperty") or {}).get("MaxConcurrentRuns") or 1)
            if sum(run.state in ACTIVE for run in glue._job_runs[name]) >= most:
                raise AwsError("ConcurrentRunsExceededException", f"Concurrent runs exceeded for {name}")
            minutes = int(timeout or job.get("Timeout") or _DEFAULT_TIMEOUT)
            run = JobRun(f"jr_{secrets.token_hex(32)}", job, arguments, minutes, trigger, workflow)
            glue._job_runs[name].append(run)
        self._in_background(self._run, run)
        return run

    def refused(self, name: str, error: AwsError, trigger: str, workflow: tuple[str, str]) -> JobRun:
        """Record a run that a workflow could not start. Glue shows it in state ERROR."""
        now = time.time()
        job = glue._jobs.get(name) or {"Name": name, "Command": {}}
        run = JobRun(f"jr_{secrets.token_hex(32)}", job, {}, 0, trigger, workflow, "ERROR", str(error), started_on=now, completed_on=now)
        glue._job_runs.setdefault(name, []).append(run)
        return run

    def stop(self, run: JobRun, state: str = "STOPPED") -> None:
        """Stop a run and all its processes. Its state becomes `state` once the process is gone."""
        with LOCK:
            if run.state not in ACTIVE or run.ending:
                return
            run.ending = state
            run.state = "STOPPING"
            if run.process:
                kill_group(run.process.pid)

    def shut_down(self) -> None:
        """Stop all processes, and start no more."""
        with LOCK:
            self._closed = True
            for runs in glue._job_runs.all_values():
                for run in runs:
                    self.stop(run)
        self._jvms.shut_down()

    def _in_background(self, work: Callable[[JobRun], None], run: JobRun) -> None:
        # ministack reads account and region from the context, and a new thread has an empty one.
        threading.Thread(target=contextvars.copy_context().run, args=(work, run), name=run.id, daemon=True).start()

    def _run(self, run: JobRun) -> None:
        jvm = None
        try:
            role = assume(run.job.get("Role", ""), "glue.amazonaws.com", "GlueJobRunnerSession")
            command = prepare(self._machine, run.id, run.job, _arguments(run), role)
            jvm = None if command.settings is None else self._jvms.take(command)
            env = {**command.env, **jvm.environment} if jvm else command.env
            with LOCK:
                if not run.ending and not self._closed:
                    run.process = command.spawn(command.argv, env)
                    run.state = "RUNNING"
        except (NotAssumed, Denied, NoSuchObject, NotAWheel, NoJvm, OSError, KeyError) as error:
            if jvm:
                jvm.end()
            self._end(run, "FAILED", f"{run.job_name} could not start: {error}")
            return
        if run.process is None:
            if jvm:
                jvm.end()
            self._end(run, run.ending or "STOPPED", "")
            return
        streams = [
            LogStream(f"{_log_group(run.job)}/output", run.id, command.stdout, role),
            LogStream(f"{_log_group(run.job)}/error", run.id, command.stderr, role),
        ]
        while True:
            try:
                returncode = run.process.wait(timeout=_SEND_LOGS_EVERY)
                break
            except subprocess.TimeoutExpired:
                if time.time() > run.started_on + run.timeout * 60:
                    self.stop(run, "TIMEOUT")
                for stream in streams:
                    stream.send()
        kill_group(run.process.pid)  # child processes that are still running
        if jvm and (run.ending or returncode < 0):  # the JVM may be in the middle of something
            jvm.end()
        elif jvm:
            self._jvms.give_back(jvm, is_well=returncode == 0)
        for stream in streams:
            stream.send(everything=True)
        if run.ending:
            self._end(run, run.ending, f"Job run timed out after {run.timeout} minutes" if run.ending == "TIMEOUT" else "")
        elif returncode == 0:
            self._end(run, "SUCCEEDED", "")
        else:
            self._end(run, "FAILED", failure(returncode, command.stderr))

    def _end(self, run: JobRun, state: str, error: str) -> None:
        with LOCK:
            run.completed_on = time.time()
            run.error = error
            run.state = state
        for listener in self.listeners:
            listener(run)

    def _create(self, data: Record) -> Record:
        name = data.get("Name")
        if not name:
            raise invalid("Name is required")
        if name in glue._jobs:
            raise AwsError("AlreadyExistsException", f"Job {name} already exists")
        if not data.get("Role"):
            raise invalid(f"Role of {name} is required")
        if (data.get("Command") or {}).get("Name") not in GROUPS:
            raise invalid(f"Command.Name of {name} must be one of {', '.join(GROUPS)}: other kinds of job do not run on this machine")
        now = time.time()
        glue._jobs[name] = {"Timeout": _DEFAULT_TIMEOUT, **_typed(data), "CreatedOn": now, "LastModifiedOn": now}
        glue._job_runs[name] = []
        if data.get("Tags"):
            glue._tags[glue._arn("job", name)] = dict(data["Tags"])
        return {"Name": name}

    def _update(self, data: Record) -> Record:
        """Replace the whole definition, as Glue does. A property that the update omits gets its default."""
        job = _job(data["JobName"])
        kept: Record = {name: job[name] for name in ("Name", "CreatedOn", "Tags") if name in job}
        glue._jobs[job["Name"]] = {"Timeout": _DEFAULT_TIMEOUT, **_typed(data["JobUpdate"]), **kept, "LastModifiedOn": time.time()}
        return {"JobName": job["Name"]}

    def _start_job_run(self, data: Record) -> Record:
        return {"JobRunId": self.start(data["JobName"], data.get("Arguments") or {}, data.get("Timeout")).id}

    def _batch_stop(self, data: Record) -> Record:
        name = data["JobName"]
        stopped, errors = [], []
        for run_id in data["JobRunIds"]:
            run = _find_run(name, run_id)
            if run is None:
                detail = {"ErrorCode": "EntityNotFoundException", "ErrorMessage": f"Job run {run_id} not found"}
            elif run.state not in ACTIVE:
                detail = {"ErrorCode": "InvalidInputException", "ErrorMessage": f"Job run {run_id} is {run.state}"}
            else:
                self.stop(run)
                stopped.append({"JobName": name, "JobRunId": run_id})
                continue
            errors.append({"JobName": name, "JobRunId": run_id, "ErrorDetail": detail})
        return {"SuccessfulSubmissions": stopped, "Errors": errors}

    def _get_run(self, data: Record) -> Record:
        run = _find_run(data["JobName"], data["RunId"])
        if run is None:
            raise not_found(f"Job run {data['RunId']} of {data['JobName']} not found")
        return {"JobRun": run.record()}

    def _get_runs(self, data: Record) -> Record:
        """Return a page of the runs, newest first, as Glue promises. A page may be shorter than requested."""
        _job(data["JobName"])
        newest_first, start = glue._job_runs[data["JobName"]][::-1], int(data.get("NextToken") or 0)
        end = start + min(_PAGE, data.get("MaxResults") or _PAGE)
        answer: Record = {"JobRuns": [run.record() for run in newest_first[start:end]]}
        if end < len(newest_first):
            answer["NextToken"] = str(end)
        return answer


def _typed(definition: Record) -> Record:
    return {**definition, **{name: convert(definition[name]) for name, convert in _NUMBERS.items() if name in definition}}


def _job(name: str) -> Record:
    if name not in glue._jobs:
        raise not_found(f"Job {name} not found")
    return glue._jobs[name]


def _find_run(name: str, run_id: str) -> JobRun | None:
    return next((run for run in glue._job_runs.get(name, []) if run.id == run_id), None)


def _log_group(job: Record) -> str:
    return GROUPS["glueetl" if job["Command"] and is_spark(job) else "pythonshell"]


def _arguments(run: JobRun) -> dict[str, str]:
    """Return all arguments of a run: the job's defaults, the run's own, those that it may not override, and those that Glue adds."""
    added = {"--JOB_NAME": run.job_name, "--JOB_RUN_ID": run.id}
    if run.workflow:
        added |= {"--WORKFLOW_NAME": run.workflow[0], "--WORKFLOW_RUN_ID": run.workflow[1]}
    return {**(run.job.get("DefaultArguments") or {}), **run.arguments, **(run.job.get("NonOverridableArguments") or {}), **added}
