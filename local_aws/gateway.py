"""Puts all parts together and into ministack."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from ministack.services import cloudwatch, cloudwatch_logs, eventbridge, glue

from local_aws import seams
from local_aws.api import LOCK, Record, Response, answered
from local_aws.athena import queries
from local_aws.cloudformation import resources
from local_aws.cloudwatch import alarms, log_queries
from local_aws.events import deliveries, glue_events
from local_aws.glue import catalog, partitions
from local_aws.glue.jobs import Jobs
from local_aws.glue.process import Machine
from local_aws.glue.scheduler import Scheduler
from local_aws.glue.triggers import Triggers
from local_aws.glue.workflows import Workflows
from local_aws.iam import permissions


@dataclass(frozen=True)
class Engine:
    """What the launcher starts and stops."""

    jobs: Jobs
    scheduler: Scheduler


def install(machine: Machine, clock: Callable[[], datetime]) -> Engine:
    """Extend the ministack of this process. Raises seams.Moved before anything is changed, if it is not the pinned one."""
    seams.check()
    jobs = Jobs(machine)
    workflows = Workflows(jobs)
    triggers = Triggers(workflows.fire)
    jobs.listeners += [glue_events.announce_job_state, workflows.job_ended]
    _serve({**catalog.actions(), **partitions.actions(), **jobs.actions(), **triggers.actions(), **workflows.actions()})
    seams.replace(eventbridge, "_invoke_target", glue_events.with_workflow_targets(eventbridge._invoke_target, workflows.notify_event))
    seams.replace(eventbridge, "_render_input_template", glue_events.strict_template(eventbridge._render_input_template))
    seams.replace(eventbridge, "_render_placeholder", glue_events.unescaped(eventbridge._render_placeholder))
    seams.replace(cloudwatch, "_evaluate_alarm", alarms.evaluate)
    seams.replace(cloudwatch_logs, "handle_request", log_queries.with_query_definitions(cloudwatch_logs.handle_request))
    permissions.extend(machine.local_dir / "permissions.jsonl")
    deliveries.extend()
    resources.extend()
    queries.extend(machine.local_dir / "athena")
    return Engine(jobs, Scheduler(workflows.fire, cloudwatch._evaluate_all_alarms, clock))


def _serve(actions: dict[str, Callable[[Record], Record]]) -> None:
    """Answer these Glue actions. Those that ministack has too are replaced there, since its CloudFormation calls them directly."""
    ours = {name: answered(action) for name, action in actions.items()}
    for name, handler in ours.items():
        function = re.sub(r"(?<!^)(?=[A-Z])", "_", f"_{name}").lower().replace("__", "_")
        if hasattr(glue, function):
            seams.replace(glue, function, handler)
    dispatch = glue._handle_request_sync

    def handle_request(method: str, path: str, headers: dict[str, str], body: bytes, query_params: dict[str, list[str]]) -> Response:
        handler = ours.get(headers.get("x-amz-target", "").rpartition(".")[2])
        if handler:
            return handler(json.loads(body or b"{}"))
        with LOCK:
            answer: Response = dispatch(method, path, headers, body, query_params)
            return answer

    seams.replace(glue, "_handle_request_sync", handle_request)
