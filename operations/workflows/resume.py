"""Start the schedule again, and say what is pending."""

from __future__ import annotations

import boto3
from totesys.errors import PipelineError

from operations.deployment.deployment import Deployment
from operations.lake import Lake
from operations.workflows.heartbeat import unmute_heartbeat
from operations.workflows.trigger import activate, schedule_trigger


def resume_schedule(session: boto3.Session, deployment: Deployment) -> str:
    """Start the schedule, and unmute the heartbeat's alarm. Return in one line what changed and how many batches are pending."""
    was_paused = activate(session.client("glue"), schedule_trigger(deployment.project))
    unmute_heartbeat(session.client("cloudwatch"), deployment.project)
    return f"{'resumed' if was_paused else 'not paused'}: {what_is_pending(Lake.open(session, deployment))}"


def what_is_pending(lake: Lake) -> str:
    """Say when the source was last read, and how many batches are pending."""
    newest = lake.newest_batch()
    if newest is None:
        return "the source has not been read yet"
    try:
        count = len(lake.pending_batches())
    except PipelineError as error:
        return f"the source was last read at {newest.snapshot_at}; how many batches are pending is not known from here: {error}"
    pending = {0: "no batch is pending", 1: "1 batch is pending"}.get(count, f"{count} batches are pending")
    return f"the source was last read at {newest.snapshot_at}; {pending}"
