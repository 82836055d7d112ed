"""One run that reads a table in full and judges its dead letters again."""

from __future__ import annotations

import boto3
from rich.console import Console
from totesys.errors import FatalError
from totesys.runtime.run_request import RunRequest

from operations.dead_letters.letters import Letters
from operations.deployment.deployment import Deployment
from operations.lake import Lake
from operations.workflows.tick import Tick, TickOutcome


class Replay:
    """The replay of one table's open dead letters. `tick` is its run, which shows every job. FatalError while drift holds the table."""

    def __init__(self, session: boto3.Session, deployment: Deployment, lake: Lake, table: str, console: Console) -> None:
        held = lake.expect_batch().held.get(table)
        if held and held.cause == "drift":
            raise FatalError(f"{table} is held, and that must be settled first: {held.cure}")
        self.tick = Tick(session, deployment, console)
        self._lake = lake
        self._table = table
        self.before = self._open()

    def start(self) -> str:
        """Start the run, and return its id."""
        return self.tick.start_ingest(RunRequest(replay=frozenset({self._table})))

    def finish(self, run_id: str) -> TickOutcome | None:
        """Follow the run to its end; RunFailedError when a job fails."""
        return self.tick.finish(run_id)

    def outcome(self) -> tuple[int, int]:
        """Return how many letters are out of the dead letter now, and how many are in it."""
        after = self._open()
        return len(self.before - after), len(after)

    def _open(self) -> set[tuple[int, int]]:
        """Each open letter by its key and its version."""
        letters = Letters(self._lake.ingestion, self._lake.expect_batch()).of(self._table).open
        return {(letter.key, letter.source_xid) for letter in letters}
