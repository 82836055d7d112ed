"""Rebuild the lake and the warehouse from landed batches, while both stay in use."""

from __future__ import annotations

import boto3
from rich.console import Console
from totesys.errors import FatalError
from totesys.lake.manifests import NO_PUBLISH, PublishManifest, read_publish
from totesys.runtime.run_request import RunRequest

from operations.deployment.deployment import Deployment
from operations.lake import Lake
from operations.workflows.display import RunDisplay
from operations.workflows.runs import WorkflowRuns


class BackfillRun:
    """One backfill of one deployment. `display` shows its jobs."""

    def __init__(self, session: boto3.Session, deployment: Deployment, console: Console) -> None:
        self.display = RunDisplay(console)
        self._workflows = WorkflowRuns(session.client("glue"), deployment, self.display)
        self._lake = Lake.open(session, deployment)
        self._before = NO_PUBLISH

    def start(self, request: RunRequest) -> str:
        """Start the publish workflow once no run of either workflow is in progress, and return the run's id.

        FatalError at once when no such batch has landed.
        """
        batch = self._lake.newest_batch()
        newest = batch.data_seq if batch else 0
        if not newest:
            raise FatalError("no batch with rows has landed yet, so there is nothing to rebuild: run scripts/totesys run first")
        if request.backfill_from > newest:
            raise FatalError(
                f"batch {request.backfill_from} has not landed: the newest with rows is batch {newest}, --from takes 1 to {newest}"
            )
        while True:
            self._workflows.wait_for_others()
            self._before = self._lake.newest_publish()
            if run_id := self._workflows.start(self._workflows.publish, request):
                return run_id

    def finish(self, run_id: str) -> None:
        """Follow the run to its end. RunFailedError when a job fails."""
        self._workflows.follow(self._workflows.publish, run_id)

    def rebuilt(self) -> PublishManifest | None:
        """Return the publish with the rebuilt tables, the first of the run; None when the run had nothing to rebuild.

        It contains no newer batch than the publish before it, unless the lake was lost. Pending batches get a publish of their own.
        """
        publish = self._lake.newest_publish()
        if publish.seq == self._before.seq:
            return None
        while publish.previous_seq != self._before.seq:
            publish = read_publish(self._lake.processed, publish.previous_seq)
        return publish if publish.through_batch_seq == self._before.through_batch_seq or not self._before.seq else None
