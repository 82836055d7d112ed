"""Start and end a job: set up its log, put its metrics, and report a failure in one line where Glue shows it (the last line of stderr)."""

from __future__ import annotations

import logging
import platform
import sys
import time
import traceback
from argparse import ArgumentParser
from collections.abc import Callable, Sequence

import boto3

from totesys.errors import PipelineError
from totesys.runtime import metrics
from totesys.runtime.logs import JsonLines, log_fields

log = logging.getLogger(__name__)


def run_job(job: str, main: Callable[[Sequence[str]], None], argv: Sequence[str], glues_boto3: str = "none") -> None:
    """Run a job's main. Return if it succeeds: Glue counts every SystemExit as a failure, whatever its code.

    `glues_boto3` is the version of Glue's own boto3. The first log line names it beside the shipped version, which is used.

    Raises SystemExit with one line that says what happened, where and what to do. An unforeseen error's traceback is printed first.
    """
    parser = ArgumentParser(allow_abbrev=False)
    for name in ("project", "JOB_RUN_ID", "WORKFLOW_RUN_ID"):
        parser.add_argument(f"--{name}")
    given, _ = parser.parse_known_args(list(argv))
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines(job, given.JOB_RUN_ID or given.WORKFLOW_RUN_ID))
    counts = metrics.Counts()
    logging.basicConfig(level=logging.INFO, handlers=[handler, counts], force=True)
    logging.getLogger("botocore").setLevel(logging.WARNING)  # at INFO it logs for every client where its endpoint comes from
    python, glibc = platform.python_version(), platform.libc_ver()[1]
    log.info("runs on Python %s, glibc %s, boto3 %s instead of Glue's %s", python, glibc, boto3.__version__, glues_boto3)
    started = time.monotonic()
    try:
        main(argv)
    except PipelineError as error:
        line = f"{type(error).__name__}: {error}"
    except Exception as error:
        traceback.print_exc()
        line = f"{type(error).__name__}: {error}"
    else:
        if given.project:
            metrics.put(given.project, job, counts, time.monotonic() - started)
        return
    line = " ".join(line.split())
    log.error("%s", line, extra=log_fields("failed", seconds=round(time.monotonic() - started, 3)))
    raise SystemExit(line)
