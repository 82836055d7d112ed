"""One tick through both workflows: ingest, and every publish that its work needs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import boto3
from rich.console import Console
from totesys.ingest.job import news
from totesys.lake.manifests import Held
from totesys.runtime.alerts import Alert
from totesys.runtime.run_request import ORDINARY_RUN, RunRequest

from operations.deployment.deployment import Deployment
from operations.lake import Lake
from operations.workflows.display import RunDisplay
from operations.workflows.runs import RunFailedError, WorkflowRuns

_ANNOUNCEMENTS = 5  # ticks in a row that leave batches pending without a failure, before we give up


@dataclass(frozen=True)
class TickOutcome:
    """What a tick loaded: the batches, the rows read of each source table, and the rows new or changed in each warehouse table.

    misses  source table -> rows that a full read found, and that no delta could have found
    """

    first_batch: int
    through_batch: int
    landed: Counter[str]
    loaded: Counter[str]
    misses: Counter[str]


class Tick:
    """One tick of one deployment. `display` shows its jobs, and those of other runs that it waits for."""

    def __init__(self, session: boto3.Session, deployment: Deployment, console: Console) -> None:
        self.display = RunDisplay(console)
        self._workflows = WorkflowRuns(session.client("glue"), deployment, self.display)
        self._lake = Lake.open(session, deployment)
        self._batch_before = self._lake.newest_batch()
        self._known_publishes: set[str] = set()
        self._loaded_before = 0

    def start_ingest(self, request: RunRequest = ORDINARY_RUN) -> str:
        """Start the ingest workflow once no run of either workflow is in progress, and return the run's id."""
        while True:
            self._workflows.wait_for_others()
            self._known_publishes = self._workflows.publish_ids()
            self._loaded_before = self._lake.progress().through
            if run_id := self._workflows.start(self._workflows.ingest, request):
                return run_id

    def finish(self, run_id: str) -> TickOutcome | None:
        """Follow the ingest run and the publishes after it. Return None when nothing was new. RunFailedError when a job fails."""
        loaded_before = self._loaded_before
        for _ in range(_ANNOUNCEMENTS):
            self._workflows.follow(self._workflows.ingest, run_id)
            if self._lake.is_pending():
                self._follow_publish()
            if not self._lake.is_pending():
                return self._outcome(loaded_before)
            # a batch that landed meanwhile, or was announced while a publish was running, must be announced again
            run_id = self.start_ingest()
        raise RunFailedError(f"batches are still pending after {_ANNOUNCEMENTS} ticks: run it again once fewer of them arrive")

    def unknown(self) -> str:
        """Return why the warehouse could not be asked whether it holds every batch; empty when it has answered."""
        return str(self._lake.progress().unknown or "")

    def held_tables(self) -> dict[str, Held]:
        """Return the source tables that the newest batch holds, each with the reason."""
        batch = self._lake.newest_batch()
        return batch.held if batch else {}

    def news(self) -> list[Alert]:
        """Return the alerts of the batches since the tick began."""
        before, newest, found = self._batch_before, self._lake.newest_batch(), []
        for seq in range(before.seq + 1 if before else 1, newest.seq + 1 if newest else 1):
            batch = self._lake.batch(seq)
            found += news(before, batch)
            before = batch
        return found

    def _follow_publish(self) -> None:
        workflow = self._workflows.publish
        if run_id := self._workflows.announced_publish(self._known_publishes, self._lake.is_pending):
            self._workflows.follow(workflow, run_id)
        elif self._lake.is_pending():
            raise RunFailedError(f"a batch is pending, and {workflow} did not start: run scripts/deploy.sh, which activates its trigger")

    def _outcome(self, loaded_before: int) -> TickOutcome | None:
        """Add up the publishes that were not loaded before this tick, and their batches."""
        landed: Counter[str] = Counter()
        loaded: Counter[str] = Counter()
        misses: Counter[str] = Counter()
        batches: set[int] = set()  # a backfill publishes batches again
        for publish in self._lake.publishes_above(loaded_before):
            loaded.update(publish.new_rows)
            misses.update(publish.misses)
            batches.update(seq for seq, _ in publish.batches if seq > loaded_before)
        if not batches:
            return None
        for seq in batches:
            landed.update({table: capture.rows for table, capture in self._lake.batch(seq).tables.items()})
        return TickOutcome(min(batches), max(batches), landed, loaded, misses)
