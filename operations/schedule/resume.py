"""The command behind scripts/resume.sh: starts the schedule again, and says what has waited for it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from totesys.errors import PipelineError

from operations.attempt import Attempt
from operations.console import make_console
from operations.deployment import Deployment, aws_session
from operations.lake import Lake
from operations.schedule.heartbeat import heed_heartbeat
from operations.schedule.trigger import activate, schedule_trigger

_DESCRIPTION = "Starts the schedule again, which scripts/pause.sh has stopped: the next tick brings in all that has changed meanwhile."


def main(argv: Sequence[str]) -> int:
    """0: the schedule is active; 1: failed; 2: could not start."""
    argparse.ArgumentParser(prog="scripts/resume.sh", description=_DESCRIPTION).parse_args(argv)
    with Attempt("resume") as attempt:
        session = aws_session()
        deployment = Deployment.read(session)
        attempt.has_started = True
        was_paused = activate(session.client("glue"), schedule_trigger(deployment.project))
        heed_heartbeat(session.client("cloudwatch"), deployment.project)
        verdict = "resumed" if was_paused else "not paused"
        make_console().print(f"{verdict}: {what_waits(Lake.open(session, deployment))}", markup=False)
    return attempt.exit_code


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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
