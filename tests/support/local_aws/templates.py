"""Resources of a workflow as a template writes them, and what became of its jobs."""

from typing import Any

from tests.support.local_aws.machine import ROLE


def job(script: str, **properties: Any) -> dict[str, Any]:
    command = {"Name": "pythonshell", "PythonVersion": "3.9", "ScriptLocation": script}
    return {"Type": "AWS::Glue::Job", "Properties": {"Role": ROLE, "Command": command, **properties}}


def trigger(kind: str, *jobs: str, **properties: Any) -> dict[str, Any]:
    actions = [{"JobName": {"Ref": name}} for name in jobs]
    waits = {"StartOnCreation": True} if kind in ("SCHEDULED", "CONDITIONAL") else {}
    return {
        "Type": "AWS::Glue::Trigger",
        "Properties": {"Type": kind, "WorkflowName": {"Ref": "Flow"}, "Actions": actions, **waits, **properties},
    }


def when(states: dict[str, str], logical: str = "AND") -> dict[str, Any]:
    conditions = [{"LogicalOperator": "EQUALS", "JobName": {"Ref": name}, "State": state} for name, state in states.items()]
    return {"Logical": logical, "Conditions": conditions}


def workflow(name: str, **properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::Glue::Workflow", "Properties": {"Name": name, **properties}}


def jobs_of(run: dict[str, Any]) -> dict[str, list[str]]:
    """Logical name of each job -> the states of its runs (stacks name jobs `<stack>-<logical name>-<random>`)."""
    nodes = [node for node in run["Graph"]["Nodes"] if node["Type"] == "JOB"]
    return {node["Name"].split("-")[-2]: [r["JobRunState"] for r in node["JobDetails"].get("JobRuns", [])] for node in nodes}
