"""Stop the schedule, and wait for runs in progress."""

from __future__ import annotations

import boto3
from rich.console import Console
from totesys.errors import PipelineError

from operations.deployment.deployment import Deployment
from operations.lake import Lake
from operations.workflows.display import RunDisplay
from operations.workflows.heartbeat import heartbeat_alarm, mute_alarm
from operations.workflows.runs import WorkflowRuns
from operations.workflows.trigger import deactivate, schedule_trigger


class Pausing:
    """One pause of one deployment."""

    def __init__(self, session: boto3.Session, deployment: Deployment, console: Console) -> None:
        self._glue = session.client("glue")
        self._cloudwatch = session.client("cloudwatch")
        self._project = deployment.project
        self._display = RunDisplay(console)
        self._workflows = WorkflowRuns(self._glue, deployment, self._display)
        self._lake = Lake.open(session, deployment)

    def pause(self) -> None:
        """Stop the schedule, and print which runs are still in progress."""
        was_active = deactivate(self._glue, schedule_trigger(self._project))
        mute_alarm(self._cloudwatch, heartbeat_alarm(self._project))
        running = [workflow for workflow, _ in self._workflows.running()]
        going_on = f"; {' and '.join(running)} is running, and goes on to its end" if running else ""
        already = "" if was_active else " already"
        self._display.say(f"paused{already}: nothing starts ingest by the clock until scripts/totesys resume{going_on}")

    def wait(self) -> None:
        """Wait for every run in progress, and for the publish that one of these runs has announced."""
        with self._display:
            self._workflows.wait_for_others()
            known = self._workflows.publish_ids()
            if self._lake.is_pending():
                self._display.say("a batch is pending: if its announcement is on the way, its publish starts within a minute")
            while self._lake.is_pending() and self._workflows.announced_publish(known, self._lake.is_pending):
                self._workflows.wait_for_others()
                known |= self._workflows.publish_ids()
        self._display.say(f"idle: no run is in progress{self._left()}")

    def _left(self) -> str:
        try:
            pending = len(self._lake.pending_batches())
        except PipelineError as error:
            return f"; how many batches are pending is not known from here: {error}"
        return {0: "", 1: "; 1 batch is pending: scripts/totesys run loads it"}.get(
            pending, f"; {pending} batches are pending: scripts/totesys run loads them"
        )
