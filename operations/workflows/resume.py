"""Starts the schedule again, and says what has waited for it."""

from __future__ import annotations

import boto3
from totesys.errors import PipelineError

from operations.deployment.deployment import Deployment
from operations.lake import Lake
from operations.workflows.heartbeat import heed_heartbeat
from operations.workflows.trigger import activate, schedule_trigger


def resume_schedule(session: boto3.Session, deployment: Deployment) -> str:
    """Start the schedule and heed the heartbeat's alarm again. Return in one line what that has changed and what waits."""
    was_paused = activate(session.client("glue"), schedule_trigger(deployment.project))
    heed_heartbeat(session.client("cloudwatch"), deployment.project)
    return f"{'resumed' if was_paused else 'not paused'}: {what_waits(Lake.open(session, deployment))}"


def what_waits(lake: Lake) -> str:
    """Since when the source has not been read, and how many batches the warehouse does not hold."""
    newest = lake.newest_batch()
    if newest is None:
        return "the source has not been read yet"
    try:
        count = len(lake.pending_batches())
    except PipelineError as error:
        return f"the source was last read at {newest.snapshot_at}; how many batches wait is not known from here: {error}"
    waiting = {0: "no batch waits", 1: "1 batch waits for the warehouse"}.get(count, f"{count} batches wait for the warehouse")
    return f"the source was last read at {newest.snapshot_at}; {waiting}"
