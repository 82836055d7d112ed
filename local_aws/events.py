"""Glue on EventBridge: job states go out on the default bus, and events whose rule targets a workflow come in."""

import json
import re
from collections.abc import Callable
from typing import Any

from ministack.services import eventbridge

from local_aws.deliveries import dead_letter_of, rule_may
from local_aws.jobs import JobRun

_WORKFLOW_ARN = re.compile(r"arn:[\w-]+:glue:[\w-]+:\d{12}:workflow/(?P<name>.+)")
_MESSAGES = {"SUCCEEDED": "Job run succeeded", "STOPPED": "Job run stopped", "TIMEOUT": "Job run timed out"}


def announce_job_state(run: JobRun) -> None:
    """Put a `Glue Job State Change`, as Glue does for SUCCEEDED, FAILED, TIMEOUT and STOPPED."""
    if run.state != "FAILED" and run.state not in _MESSAGES:
        return
    detail = {
        "jobName": run.job_name,
        "severity": "INFO" if run.state in ("SUCCEEDED", "STOPPED") else "ERROR",
        "state": run.state,
        "jobRunId": run.id,
        "message": _MESSAGES.get(run.state, run.error),
    }
    entry = {"Source": "aws.glue", "DetailType": "Glue Job State Change", "Detail": json.dumps(detail), "Resources": []}
    eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)


def with_workflow_targets(invoke_target: Callable[..., None], notify: Callable[[str, str], None]) -> Callable[..., None]:
    """EventBridge's delivery, extended: an event for a workflow's ARN is `notify(workflow name, event id)`. A target that refuses the rule
    gets nothing, and its dead-letter queue gets the event."""

    def deliver(target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: Any = None) -> None:
        if not rule_may(target, rule):
            dead_letter = dead_letter_of(target, rule)
            if dead_letter:
                invoke_target(dead_letter, event, rule, view)
            return
        workflow = _WORKFLOW_ARN.fullmatch(target["Arn"])
        if workflow:
            notify(workflow["name"], event["EventId"])
        else:
            invoke_target(target, event, rule, view)

    return deliver
