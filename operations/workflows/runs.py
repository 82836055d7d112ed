"""Start runs of the two workflows, one at a time, and follow them to their end."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Container
from typing import TYPE_CHECKING

from totesys.errors import PipelineError
from totesys.runtime.run_request import RunRequest

from operations.deployment.deployment import Deployment
from operations.workflows.display import JobState, RunDisplay

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient
    from mypy_boto3_glue.type_defs import JobRunTypeDef, WorkflowRunTypeDef

_FIRST_POLL, _LONGEST_POLL = 0.2, 2.0  # seconds
_EVENT_ARRIVES_WITHIN = 60.0  # seconds from an announcement to the run that it starts; on AWS it takes a few
_PAGE = 1000  # the most runs that Glue returns at once
_LONGEST_ERROR = 400  # characters: ours are one line, while Spark's bring the JVM's stack with them


class RunFailedError(PipelineError):
    """A run has failed after it started. The message is that of the failed job."""


class WorkflowRuns:
    """The workflows of one deployment; `display` shows the jobs of every run that is followed."""

    def __init__(self, glue: GlueClient, deployment: Deployment, display: RunDisplay) -> None:
        self._glue = glue
        self.ingest, self.publish = deployment.ingest_workflow, deployment.publish_workflow
        self._display = display

    def running(self) -> list[tuple[str, str]]:
        """Return every run in progress, as (workflow, run's id)."""
        return [
            (workflow, run["WorkflowRunId"])
            for workflow in (self.ingest, self.publish)
            for run in self._runs(workflow)
            if run["Status"] in ("RUNNING", "STOPPING")
        ]

    def wait_for_others(self) -> None:
        """Follow all runs in progress of both workflows, whether they succeed or fail, until there are none."""
        while running := self.running():
            workflow, run_id = running[0]
            self._display.say(f"{workflow} is running already: waiting for it")
            self.follow_to_end(workflow, run_id)

    def start(self, workflow: str, request: RunRequest) -> str | None:
        """Start a run, and return its id; None when another run is in progress."""
        try:
            return str(self._glue.start_workflow_run(Name=workflow, RunProperties=request.properties())["RunId"])
        except self._glue.exceptions.ConcurrentRunsExceededException:
            time.sleep(_FIRST_POLL)  # the other may take that long to be seen
            return None

    def publish_ids(self) -> set[str]:
        """Return the ids of all runs of the publish workflow so far."""
        return {run["WorkflowRunId"] for run in self._runs(self.publish)}

    def announced_publish(self, known: Container[str], is_pending: Callable[[], bool]) -> str | None:
        """Return the publish run that an announcement has started: one in progress, or one that is not among the `known`.

        None when no batch is pending any more, or no run has started within a minute. A run that Glue refused does not count.
        """
        pause, deadline = Pause(), time.monotonic() + _EVENT_ARRIVES_WITHIN
        while time.monotonic() < deadline:
            for run in self._runs(self.publish):
                is_new = run["Status"] != "ERROR" and run["WorkflowRunId"] not in known
                if is_new or run["Status"] == "RUNNING":
                    return str(run["WorkflowRunId"])
            if not is_pending():
                return None
            pause()
        return None

    def follow(self, workflow: str, run_id: str) -> None:
        """Show a run until it ends. RunFailedError with the first failed job's error, unless every job succeeded."""
        run = self.follow_to_end(workflow, run_id)
        failed = [job for job in job_states(workflow, run) if job.is_failed]
        if failed:
            raise RunFailedError(f"{failed[0].job} {failed[0].state}: {failed[0].reason}")
        if run["Status"] != "COMPLETED":
            raise RunFailedError(f"{workflow} {run['Status']}: {run.get('ErrorMessage') or 'somebody stopped it'}")

    def follow_to_end(self, workflow: str, run_id: str) -> WorkflowRunTypeDef:
        """Show a run until it ends, and return it."""
        pause = Pause()
        while True:
            run = self._glue.get_workflow_run(Name=workflow, RunId=run_id, IncludeGraph=True)["Run"]
            self._display.show(job_states(workflow, run))
            if run["Status"] not in ("RUNNING", "STOPPING"):
                return run
            pause()

    def _runs(self, workflow: str) -> list[WorkflowRunTypeDef]:
        """Return all runs of a workflow that Glue still knows, newest first. Glue promises no order, so every page is read."""
        pages = self._glue.get_paginator("get_workflow_runs").paginate(Name=workflow, PaginationConfig={"PageSize": _PAGE})
        return sorted((run for page in pages for run in page["Runs"]), key=lambda run: run["StartedOn"], reverse=True)


class Pause:
    """Sleeps a little longer with each call: a short run is seen to end at once, and a long run causes few requests."""

    def __init__(self) -> None:
        self._seconds = _FIRST_POLL

    def __call__(self) -> None:
        time.sleep(self._seconds)
        self._seconds = min(self._seconds * 1.1, _LONGEST_POLL)


def job_states(workflow: str, run: WorkflowRunTypeDef) -> list[JobState]:
    """Return the jobs of a workflow run, each with its last attempt, in the order of their starts."""
    nodes = [node for node in run["Graph"]["Nodes"] if node["Type"] == "JOB"]
    attempts = [(node["Name"], node["JobDetails"]["JobRuns"][-1]) for node in nodes if node.get("JobDetails", {}).get("JobRuns")]
    return [job_state(workflow, name, attempt) for name, attempt in sorted(attempts, key=lambda pair: pair[1]["StartedOn"])]


def job_state(workflow: str, job: str, run: JobRunTypeDef) -> JobState:
    """One run of a job, from Glue's answer."""
    return JobState(
        run_id=run["Id"],
        workflow=workflow,
        job=job,
        state=run["JobRunState"],
        started_at=run["StartedOn"],
        completed_at=run.get("CompletedOn"),
        error=textwrap.shorten(run.get("ErrorMessage", ""), _LONGEST_ERROR, placeholder=" ... (the rest is in the job's log)"),
    )
