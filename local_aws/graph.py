"""A workflow's graph as the API shows it: triggers and jobs as nodes, "starts" and "waits for" as edges."""

import hashlib
from collections.abc import Sequence

from local_aws.api import Record
from local_aws.jobs import JobRun


def graph(triggers: Sequence[Record], job_runs: Sequence[JobRun] | None = None) -> Record:
    """The graph of a workflow, or of one run of it when its job runs are given."""
    jobs: dict[str, None] = {}
    edges = []
    for trigger in triggers:
        waits_for = [condition["JobName"] for condition in (trigger.get("Predicate") or {}).get("Conditions") or []]
        starts = [action["JobName"] for action in trigger["Actions"]]
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


def _node(kind: str, name: str, member: str, details: Record) -> Record:
    return {"Type": kind, "Name": name, "UniqueId": _id(kind, name), member: details}


def _id(kind: str, name: str) -> str:
    return "wnode_" + hashlib.sha256(f"{kind}/{name}".encode()).hexdigest()
