"""Glue on EventBridge: states of job runs are sent to the default bus, and a rule may start a workflow.

An input transformer is as strict as on AWS: it escapes no value, and an event is delivered only if the result is JSON.
"""

import json
import logging
import re
from collections.abc import Callable
from typing import Any

from ministack.services import eventbridge

from local_aws.events.deliveries import dead_letter_of, rule_may
from local_aws.glue.jobs import JobRun

log = logging.getLogger(__name__)

_WORKFLOW_ARN = re.compile(r"arn:[\w-]+:glue:[\w-]+:\d{12}:workflow/(?P<name>.+)")
_BETWEEN_VALUES = re.compile(r"\s*")
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


class NotJson(Exception):
    """The result of an input transformer is not JSON."""


def strict_template(render: Callable[[str, dict[str, Any]], str]) -> Callable[[str, dict[str, Any]], str]:
    """ministack's rendering of an input template, which then raises NotJson for what EventBridge does not deliver.

    A template with quotes must give one JSON value, or several with white space between them.
    """

    def checked(template: str, replacements: dict[str, Any]) -> str:
        text = render(template, replacements)
        at = 0
        while '"' in template and at < len(text):
            try:
                _, end = json.JSONDecoder().raw_decode(text, at)
            except ValueError as error:
                raise NotJson(f"{error}: {text}") from error
            space = _BETWEEN_VALUES.match(text, end)
            at = space.end() if space else end
            if at == end < len(text):
                raise NotJson(f"no white space after a value, at character {end}: {text}")
        return text

    return checked


def unescaped(render: Callable[[str, str, dict[str, Any], bool], str]) -> Callable[[str, str, dict[str, Any], bool], str]:
    """ministack's rendering of one placeholder, which leaves a string as it is.

    EventBridge puts quotes around a string that stands alone, but escapes nothing inside. Objects and arrays are JSON already.
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html#eb-transform-input-issues
    """

    def placed(var_name: str, token: str, replacements: dict[str, Any], in_string: bool) -> str:
        value = replacements.get(var_name)
        return f'"{value}"' if isinstance(value, str) and not in_string else render(var_name, token, replacements, in_string)

    return placed


def with_workflow_targets(invoke_target: Callable[..., None], notify: Callable[[str, str], None]) -> Callable[..., None]:
    """EventBridge's delivery, extended: an event for a workflow's ARN is `notify(workflow name, event id)`.

    An event that the target refuses of this rule, or that its input transformer turns into something else than JSON, goes to the target's
    dead-letter queue, if it has one.
    """

    def deliver(target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: Any = None) -> None:
        if not rule_may(target, rule):
            to_dead_letters(target, event, rule, view)
            return
        workflow = _WORKFLOW_ARN.fullmatch(target["Arn"])
        if workflow:
            notify(workflow["name"], event["EventId"])
            return
        try:
            invoke_target(target, event, rule, view)
        except NotJson as error:
            log.warning("rule %s: not delivered to target %s: %s", rule["Name"], target["Id"], error)
            to_dead_letters(target, event, rule, view)

    def to_dead_letters(target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: Any) -> None:
        dead_letter = dead_letter_of(target, rule)
        if dead_letter:
            invoke_target(dead_letter, event, rule, view)

    return deliver
