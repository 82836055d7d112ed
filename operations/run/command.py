"""The command behind scripts/run.sh: one tick through both workflows, shown as it goes."""

from __future__ import annotations

import argparse
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from totesys import layout, waiting
from totesys.errors import PipelineError
from totesys.manifests import PublishManifest, newest_batch, newest_publish
from totesys.store import Bucket

from operations.console import make_console, make_table
from operations.deployment import Deployment, aws_session, explain
from operations.run.display import JobState, RunDisplay

_FIRST_POLL, _LONGEST_POLL = 0.2, 2.0  # seconds
_EVENT_ARRIVES_WITHIN = 60.0  # seconds from an announcement to the run that it starts; on AWS it takes a few
_LONGEST_ERROR = 400  # characters: ours are one line, while Spark's bring the JVM's stack with them
_ANNOUNCEMENTS = 5  # ticks in a row that leave work waiting without a failure, before we give up


class RunFailedError(Exception):
    """A run that had started did not end well; the message is the failed job's."""


def main(argv: Sequence[str]) -> int:
    """0: all that waited is loaded, or nothing was new; 1: failed, with the failed job's error; 2: could not start; 130: interrupted."""
    parser = argparse.ArgumentParser(prog="scripts/run.sh", description="Runs one tick through both workflows, and waits.")
    parser.add_argument("--full", action="store_true", help="read every table in full, instead of what has changed")
    arguments = parser.parse_args(argv)
    console = make_console()
    started = False
    try:
        session = aws_session()
        tick = Tick(session, Deployment.read(session), console)
        with tick.display:
            run_id = tick.start_ingest(arguments.full)
            started = True
            outcome = tick.finish(run_id)
    except RunFailedError as error:
        print(f"run: failed: {error}", file=sys.stderr)
        return 1
    except (PipelineError, BotoCoreError, ClientError) as error:
        reason = error if isinstance(error, PipelineError) else explain(error)
        print(f"run: {'failed' if started else 'could not start'}: {reason}", file=sys.stderr)
        return 1 if started else 2
    except KeyboardInterrupt:
        print("run: no longer waiting; what was started goes on", file=sys.stderr)
        return 130
    print_outcome(console, outcome)
    return 0


@dataclass(frozen=True)
class Outcome:
    """What a tick brought: the batches, and the rows that each table of the lake and of the warehouse took from them."""

    first_batch: int
    through_batch: int
    landed: Counter[str]
    loaded: Counter[str]


class Tick:
    """One tick of one deployment. `display` shows every job that it waits for."""

    def __init__(self, session: Any, deployment: Deployment, console: Console) -> None:
        self._glue = session.client("glue")
        self._deployment = deployment
        s3 = session.client("s3")
        self._ingestion, self._processed = Bucket(s3, deployment.ingestion_bucket), Bucket(s3, deployment.processed_bucket)
        self._known_publishes: set[str] = set()
        self._loaded_before = 0
        self.display = RunDisplay(console)

    def start_ingest(self, full: bool = False) -> str:
        """Starts the ingest workflow once no run of either workflow is in progress, and returns the run's id."""
        properties = {"full": "true"} if full else {}
        while True:
            self._wait_for_others()
            self._known_publishes = {run["WorkflowRunId"] for run in self._runs(self._deployment.publish_workflow)}
            self._loaded_before = waiting.loaded_through(self._processed)
            try:
                answer = self._glue.start_workflow_run(Name=self._deployment.ingest_workflow, RunProperties=properties)
            except self._glue.exceptions.ConcurrentRunsExceededException:
                continue  # somebody was quicker
            return str(answer["RunId"])

    def finish(self, run_id: str) -> Outcome | None:
        """Follows the ingest run, and every publish that its work needs; None when nothing was new. RunFailedError when a job fails."""
        loaded_before = self._loaded_before
        for _ in range(_ANNOUNCEMENTS):
            self._follow(self._deployment.ingest_workflow, run_id)
            if self._waits():
                self._follow_publish()
            if not self._waits():
                return self._outcome(loaded_before)
            # What has landed meanwhile, or was announced while a publish was running, needs an announcement of its own.
            run_id = self.start_ingest()
        raise RunFailedError(f"batches still wait after {_ANNOUNCEMENTS} ticks: run it again once fewer of them arrive")

    def _wait_for_others(self) -> None:
        for workflow in (self._deployment.ingest_workflow, self._deployment.publish_workflow):
            while running := next((run for run in self._runs(workflow) if run["Status"] == "RUNNING"), None):
                self.display.say(f"{workflow} is running already: waiting for it")
                self._follow_to_end(workflow, running["WorkflowRunId"])

    def _follow_publish(self) -> None:
        """Follows the publish run that the announcement starts. A run that was refused, since another was running, is not it."""
        workflow = self._deployment.publish_workflow
        pause, deadline = Pause(), time.monotonic() + _EVENT_ARRIVES_WITHIN
        while time.monotonic() < deadline:
            for run in self._runs(workflow):
                is_new = run["Status"] != "ERROR" and run["WorkflowRunId"] not in self._known_publishes
                if is_new or run["Status"] == "RUNNING":
                    self._follow(workflow, run["WorkflowRunId"])
                    return
            if not self._waits():
                return
            pause()
        within = f"within {_EVENT_ARRIVES_WITHIN:.0f} s"
        raise RunFailedError(f"a batch waits, and {workflow} did not start {within}: run scripts/deploy.sh, which activates its trigger")

    def _follow(self, workflow: str, run_id: str) -> None:
        """Shows a run until it ends; RunFailedError with its first failed job's error unless every job succeeded."""
        run = self._follow_to_end(workflow, run_id)
        failed = [job for job in job_states(workflow, run) if job.is_failed]
        if failed:
            raise RunFailedError(f"{failed[0].job} {failed[0].state}: {failed[0].error or 'it left no message: see its log'}")
        if run["Status"] != "COMPLETED":
            raise RunFailedError(f"{workflow} {run['Status']}: {run.get('ErrorMessage') or 'somebody stopped it'}")

    def _follow_to_end(self, workflow: str, run_id: str) -> Any:
        pause = Pause()
        while True:
            run = self._glue.get_workflow_run(Name=workflow, RunId=run_id, IncludeGraph=True)["Run"]
            self.display.show(job_states(workflow, run))
            if run["Status"] not in ("RUNNING", "STOPPING"):
                return run
            pause()

    def _runs(self, workflow: str) -> list[Any]:
        """The newest runs of a workflow."""
        runs: list[Any] = self._glue.get_workflow_runs(Name=workflow, MaxResults=25)["Runs"]
        return runs

    def _waits(self) -> bool:
        batch = newest_batch(self._ingestion)
        return batch is not None and waiting.is_waiting(batch, waiting.loaded_through(self._processed))

    def _outcome(self, loaded_before: int) -> Outcome | None:
        """Adds up, newest first, the publishes that were not loaded before this tick and the batches in them."""
        landed: Counter[str] = Counter()
        loaded: Counter[str] = Counter()
        publish = newest_publish(self._processed)
        if publish is None or publish.through_batch_seq <= loaded_before:
            return None
        batches: list[int] = []
        through = publish.through_batch_seq
        while publish and publish.through_batch_seq > loaded_before:
            loaded.update(publish.new_rows)
            for seq, _ in publish.batches:
                batches.append(seq)
                capture = self._ingestion.get_json(layout.manifest_key(seq))["tables"]
                landed.update({table: body["rows"] for table, body in capture.items()})
            publish = PublishManifest.parse(self._processed.get_json(layout.manifest_key(publish.seq - 1))) if publish.seq > 1 else None
        return Outcome(min(batches), through, landed, loaded)


class Pause:
    """Sleeps a little longer with each call, so that a quick run is seen to end at once and a long one is asked seldom."""

    def __init__(self) -> None:
        self._seconds = _FIRST_POLL

    def __call__(self) -> None:
        time.sleep(self._seconds)
        self._seconds = min(self._seconds * 1.1, _LONGEST_POLL)


def job_states(workflow: str, run: Any) -> list[JobState]:
    """The jobs of a workflow run, each with its last attempt, in the order in which they started."""
    nodes = [node for node in run["Graph"]["Nodes"] if node["Type"] == "JOB"]
    attempts = [(node["Name"], node["JobDetails"]["JobRuns"][-1]) for node in nodes if node.get("JobDetails", {}).get("JobRuns")]
    return [
        JobState(
            run_id=attempt["Id"],
            workflow=workflow,
            job=name,
            state=attempt["JobRunState"],
            started_at=attempt["StartedOn"],
            completed_at=attempt.get("CompletedOn"),
            error=textwrap.shorten(attempt.get("ErrorMessage", ""), _LONGEST_ERROR, placeholder=" ... (the rest is in the job's log)"),
        )
        for name, attempt in sorted(attempts, key=lambda pair: pair[1]["StartedOn"])
    ]


def print_outcome(console: Console, outcome: Outcome | None) -> None:
    """Says what is loaded, with the rows of each table that took any."""
    if outcome is None:
        console.print("nothing new: the warehouse holds every batch")
        return
    rows = [[table, f"{count:,}"] for table, count in outcome.loaded.items() if count]
    console.print(make_table([("warehouse table", "left"), ("new or changed rows", "right")], rows))
    first, last = outcome.first_batch, outcome.through_batch
    batches = f"batch {last}" if first == last else f"batches {first} to {last}"
    console.print(f"loaded {batches}: {outcome.landed.total():,} rows read, {outcome.loaded.total():,} warehouse rows new or changed")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
