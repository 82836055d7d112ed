"""A workflow's graph as the API shows it: triggers and jobs as nodes, "starts" and "waits for" as edges."""

import hashlib
from collections.abc import Iterable, Sequence

from local_aws.api import Record
from local_aws.glue.jobs import JobRun


def graph(triggers: Sequence[Record], job_runs: Sequence[JobRun] | None = None) -> Record:
    """Return the graph of a workflow, or of one of its runs if that run's job runs are given."""
    jobs: dict[str, None] = {}
    edges = []
    for trigger in triggers:
        waits_for, starts = _waits_for(trigger), _starts(trigger)
        jobs |= dict.fromkeys([*waits_for, *starts])
        edges += [{"SourceId": _id("JOB", job), "DestinationId": _id("TRIGGER", trigger["Name"])} for job in waits_for]
        edges += [{"SourceId": _id("TRIGGER", trigger["Name"]), "DestinationId": _id("JOB", job)} for job in starts]
    nodes = [_node("TRIGGER", trigger["Name"], "TriggerDetails", {"Trigger": trigger}) for trigger in triggers]
    for job in jobs:
        details: Record = {}
        if job_runs is not None:
            details = {"JobRuns": [run.record() for run in job_runs if run.job_name == job]}
        nodes.append(_node("JOB", job, "JobDetails", details))
    return {"Nodes": nodes, "Edges": edges}


def jobs_by_node(triggers: Sequence[Record]) -> dict[str, str]:
    """Return the jobs that a workflow's triggers start, by node id."""
    return {_id("JOB", job): job for trigger in triggers for job in _starts(trigger)}


def downstream(triggers: Sequence[Record], jobs: Iterable[str]) -> tuple[set[str], set[str]]:
    """Return the names of all triggers downstream of these jobs, and the jobs that those triggers start."""
    waiting, reached, ahead = set[str](), set[str](), set(jobs)
    while ahead:
        found = [trigger for trigger in triggers if trigger["Name"] not in waiting and ahead & set(_waits_for(trigger))]
        waiting |= {trigger["Name"] for trigger in found}
        ahead = {job for trigger in found for job in _starts(trigger)}
        reached |= ahead
    return waiting, reached


def _waits_for(trigger: Record) -> list[str]:
    return [condition["JobName"] for condition in (trigger.get("Predicate") or {}).get("Conditions") or []]


def _starts(trigger: Record) -> list[str]:
    return [action["JobName"] for action in trigger["Actions"]]


def _node(kind: str, name: str, member: str, details: Record) -> Record:
    return {"Type": kind, "Name": name, "UniqueId": _id(kind, name), member: details}


def _id(kind: str, name: str) -> str:
    return "wnode_" + hashlib.sha256(f"{kind}/{name}".encode()).hexdigest()
