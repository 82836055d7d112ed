"""The workflow engine. A run starts the jobs of its start trigger. When a job ends, triggers whose conditions are met start more jobs."""

import json
import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from ministack.services import glue

from local_aws.api import LOCK, Action, AwsError, Record, invalid, not_found
from local_aws.glue import triggers
from local_aws.glue.graph import downstream, graph, jobs_by_node
from local_aws.glue.jobs import ACTIVE, JobRun, Jobs

_DEFAULT_BATCH_WINDOW = 900  # seconds, Glue's default
_PAGE = 5  # the largest number of runs in one answer


@dataclass
class WorkflowRun:
    """One run. Times are seconds since the epoch; `fired` holds the triggers that it has fired, each once.

    A run that resumes another (`previous_id`) begins with the job runs and the fired triggers of that one which it does not run again.
    """

    name: str
    properties: dict[str, str]
    previous_id: str = ""
    id: str = field(default_factory=lambda: f"wr_{secrets.token_hex(32)}")
    status: str = "RUNNING"
    error: str = ""
    started_on: float = field(default_factory=time.time)
    completed_on: float | None = None
    job_runs: list[JobRun] = field(default_factory=list)
    fired: set[str] = field(default_factory=set)

    def record(self, *, include_graph: bool = False) -> Record:
        """The run as GetWorkflowRun returns it."""
        answer: Record = {
            "Name": self.name,
            "WorkflowRunId": self.id,
            "WorkflowRunProperties": self.properties,
            "StartedOn": self.started_on,
            "Status": self.status,
            "Statistics": self._statistics(),
        }
        if self.previous_id:
            answer["PreviousRunId"] = self.previous_id
        if self.completed_on is not None:
            answer["CompletedOn"] = self.completed_on
        if self.error:
            answer["ErrorMessage"] = self.error
        if include_graph:
            answer["Graph"] = graph(triggers.of_workflow(self.name), self.job_runs)
        return answer

    def job_states(self) -> dict[str, str]:
        """Return the last state of each job in this run."""
        return {run.job_name: run.state for run in self.job_runs}

    def _statistics(self) -> dict[str, int]:
        states = [run.state for run in self.job_runs]
        counted = {"Succeeded": "SUCCEEDED", "Failed": "FAILED", "Stopped": "STOPPED", "Timeout": "TIMEOUT", "Errored": "ERROR"}
        return {
            "TotalActions": len(states),
            "RunningActions": sum(state in ACTIVE for state in states),
            **{f"{name}Actions": states.count(state) for name, state in counted.items()},
        }


class Workflows:
    """Starts, advances and stops workflow runs."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._collected_events: dict[str, list[str]] = {}  # workflow name -> ids of the events in its unfinished batch

    def actions(self) -> dict[str, Action]:
        return {
            "GetWorkflow": self._get,
            "StartWorkflowRun": self._start_run,
            "StopWorkflowRun": self._stop_run,
            "ResumeWorkflowRun": self._resume_run,
            "GetWorkflowRun": self._get_run,
            "GetWorkflowRuns": self._get_runs,
            "GetWorkflowRunProperties": self._get_properties,
            "PutWorkflowRunProperties": self._put_properties,
            "ListWorkflows": self._list,
            "BatchGetWorkflows": self._batch_get,
        }

    def start(self, name: str, properties: dict[str, str]) -> WorkflowRun:
        """Start a run with the actions of its start trigger. The type and state of that trigger do not matter.

        Raises ConcurrentRunsExceededException beyond the workflow's MaxConcurrentRuns (none set means no limit).
        """
        with LOCK:
            workflow = _workflow(name)
            trigger = triggers.start_trigger(name)
            if trigger is None:
                raise invalid(f"Workflow {name} has no start trigger")
            _refuse_beyond_limit(workflow)
            run = WorkflowRun(name, {**(workflow.get("DefaultRunProperties") or {}), **properties})
            _runs(name).append(run)
            self._fire(trigger, run)
            self._advance(run)
            return run

    def fire(self, trigger: Record, properties: dict[str, str] | None = None) -> None:
        """Fire a start trigger. It starts a run of its workflow, or its jobs if it has no workflow. A refused run is in state ERROR."""
        name = trigger.get("WorkflowName")
        with LOCK:
            if not name:
                for action in trigger["Actions"]:
                    self._jobs.start(action["JobName"], action.get("Arguments") or {}, action.get("Timeout"), trigger["Name"])
                return
            try:
                self.start(name, properties or {})
            except AwsError as refusal:
                run = WorkflowRun(name, properties or {}, status="ERROR", error=str(refusal), completed_on=time.time())
                _runs(name).append(run)

    def notify_event(self, name: str, event_id: str) -> None:
        """Take an event of EventBridge. The workflow's EVENT trigger fires when the batch is full or its time window has passed."""
        with LOCK:
            trigger = triggers.start_trigger(name)
            if trigger is None or trigger["Type"] != "EVENT":
                return
            condition = trigger.get("EventBatchingCondition") or {}
            batch = self._collected_events.setdefault(name, [])
            batch.append(event_id)
            if len(batch) >= int(condition.get("BatchSize") or 1):
                self._fire_batch(name, batch)
            elif len(batch) == 1:
                window = float(condition.get("BatchWindow") or _DEFAULT_BATCH_WINDOW)
                timer = threading.Timer(window, self._fire_batch, args=(name, batch))
                timer.daemon = True
                timer.start()

    def _fire_batch(self, name: str, batch: list[str]) -> None:
        with LOCK:
            if self._collected_events.get(name) is not batch:
                return  # the batch was full before the end of its window
            del self._collected_events[name]
            trigger = triggers.start_trigger(name)
            if trigger is not None:
                self.fire(trigger, {"aws:eventIds": json.dumps(batch)})

    def job_ended(self, job_run: JobRun) -> None:
        """Advance the workflow run that this job run belongs to, if any."""
        if job_run.workflow is None:
            return
        name, run_id = job_run.workflow
        with LOCK:
            run = next((run for run in glue._workflow_runs.get(name, []) if run.id == run_id), None)
            if run:
                self._advance(run)

    def _advance(self, run: WorkflowRun) -> None:
        if run.status == "RUNNING":
            for trigger in triggers.of_workflow(run.name):
                waiting = trigger["Type"] == "CONDITIONAL" and trigger["State"] == "ACTIVATED" and trigger["Name"] not in run.fired
                if waiting and triggers.is_met(trigger["Predicate"], run.job_states()):
                    self._fire(trigger, run)
        if run.status in ("RUNNING", "STOPPING") and not any(job_run.state in ACTIVE for job_run in run.job_runs):
            run.status = "COMPLETED" if run.status == "RUNNING" else "STOPPED"
            run.completed_on = time.time()

    def _fire(self, trigger: Record, run: WorkflowRun) -> None:
        run.fired.add(trigger["Name"])
        for action in trigger["Actions"]:
            self._act(action, trigger, run)

    def _act(self, action: Record, trigger: Record, run: WorkflowRun) -> None:
        job, workflow = action["JobName"], (run.name, run.id)
        try:
            started = self._jobs.start(job, action.get("Arguments") or {}, action.get("Timeout"), trigger["Name"], workflow)
        except AwsError as refusal:
            started = self._jobs.refused(job, refusal, trigger["Name"], workflow)
        run.job_runs.append(started)

    def _get(self, data: Record) -> Record:
        return {"Workflow": _described(_workflow(data["Name"]), include_graph=bool(data.get("IncludeGraph")))}

    def _batch_get(self, data: Record) -> Record:
        include = bool(data.get("IncludeGraph"))
        known = [name for name in data["Names"] if name in glue._workflows]
        missing = [name for name in data["Names"] if name not in glue._workflows]
        return {"Workflows": [_described(_workflow(name), include_graph=include) for name in known], "MissingWorkflows": missing}

    def _list(self, data: Record) -> Record:
        return {"Workflows": sorted(glue._workflows.keys())}

    def _start_run(self, data: Record) -> Record:
        return {"RunId": self.start(data["Name"], data.get("RunProperties") or {}).id}

    def _stop_run(self, data: Record) -> Record:
        run = _find_run(data)
        if run.status != "RUNNING":
            raise AwsError("IllegalWorkflowStateException", f"Workflow run {run.id} is {run.status}")
        run.status = "STOPPING"
        for job_run in run.job_runs:
            self._jobs.stop(job_run)
        return {}

    def _resume_run(self, data: Record) -> Record:
        """Run the named nodes and everything downstream of them again, in a new run. The other nodes keep their state.

        https://docs.aws.amazon.com/glue/latest/dg/resuming-workflow.html
        """
        workflow, previous = _workflow(data["Name"]), _find_run(data)
        if previous.status != "COMPLETED":
            raise AwsError(
                "IllegalWorkflowStateException", f"Workflow run {previous.id} is {previous.status}: only a COMPLETED one resumes"
            )
        of_workflow = triggers.of_workflow(previous.name)
        chosen = {node: _attempted(node, jobs_by_node(of_workflow), previous) for node in data["NodeIds"]}
        unfired, again = downstream(of_workflow, (job_run.job_name for job_run in chosen.values()))
        # A job that is downstream of another one is started by its trigger.
        restarted = {node: job_run for node, job_run in chosen.items() if job_run.job_name not in again}
        again |= {job_run.job_name for job_run in restarted.values()}
        _refuse_beyond_limit(workflow)
        run = WorkflowRun(previous.name, dict(previous.properties), previous.id)
        run.job_runs = [job_run for job_run in previous.job_runs if job_run.job_name not in again]
        run.fired = previous.fired - unfired
        _runs(run.name).append(run)
        for job_run in restarted.values():
            self._act(*_starting(job_run, of_workflow), run)
        self._advance(run)
        return {"RunId": run.id, "NodeIds": list(restarted)}

    def _get_run(self, data: Record) -> Record:
        return {"Run": _find_run(data).record(include_graph=bool(data.get("IncludeGraph")))}

    def _get_runs(self, data: Record) -> Record:
        """Return a page of the runs, ordered by their random ids. Glue promises no order, and may return fewer runs than requested."""
        _workflow(data["Name"])
        shuffled = sorted(_runs(data["Name"]), key=lambda run: run.id)
        left = [run for run in shuffled if run.id > data.get("NextToken", "")]
        page = left[: min(_PAGE, data.get("MaxResults") or _PAGE)]
        include = bool(data.get("IncludeGraph"))
        answer: Record = {"Runs": [run.record(include_graph=include) for run in page]}
        if len(page) < len(left):
            answer["NextToken"] = page[-1].id
        return answer

    def _get_properties(self, data: Record) -> Record:
        return {"RunProperties": _find_run(data).properties}

    def _put_properties(self, data: Record) -> Record:
        _find_run(data).properties.update(data["RunProperties"])
        return {}


def _workflow(name: str) -> Record:
    if name not in glue._workflows:
        raise not_found(f"Workflow {name} not found")
    return glue._workflows[name]


def _refuse_beyond_limit(workflow: Record) -> None:
    name, most = workflow["Name"], int(workflow.get("MaxConcurrentRuns") or 0)
    if most and sum(run.status in ("RUNNING", "STOPPING") for run in _runs(name)) >= most:
        raise AwsError("ConcurrentRunsExceededException", f"Concurrent runs exceeded for workflow: `{name}`.")


def _attempted(node: str, jobs: dict[str, str], run: WorkflowRun) -> JobRun:
    """Return the last run of the job of a node. Refuse a node that the workflow does not have, or that this run has not tried."""
    if node not in jobs:
        raise invalid(f"Node {node} is no job of workflow {run.name}")
    tried = [job_run for job_run in run.job_runs if job_run.job_name == jobs[node]]
    if not tried:
        raise invalid(f"Node {node} ({jobs[node]}) has no run attempt in workflow run {run.id}")
    return tried[-1]


def _starting(job_run: JobRun, of_workflow: Sequence[Record]) -> tuple[Record, Record]:
    """Return the action that starts the job and its trigger: those that started this run, if the workflow still has them."""
    found = [(action, trigger) for trigger in of_workflow for action in trigger["Actions"] if action["JobName"] == job_run.job_name]
    return next((pair for pair in found if pair[1]["Name"] == job_run.trigger), found[0])


def _runs(name: str) -> list[WorkflowRun]:
    return glue._workflow_runs.setdefault(name, [])


def _find_run(data: Record) -> WorkflowRun:
    for run in glue._workflow_runs.get(data["Name"], []):
        if run.id == data["RunId"]:
            return run
    raise not_found(f"Workflow run {data['RunId']} of {data['Name']} not found")


def _described(workflow: Record, *, include_graph: bool) -> Record:
    answer = {key: value for key, value in workflow.items() if value}
    runs = _runs(workflow["Name"])
    if runs:
        answer["LastRun"] = runs[-1].record(include_graph=include_graph)
    if include_graph:
        answer["Graph"] = graph(triggers.of_workflow(workflow["Name"]))
    return answer
