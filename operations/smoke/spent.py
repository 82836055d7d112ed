"""What the Glue job runs have cost so far: nearly all of a smoke test's cost."""

from __future__ import annotations

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from operations.cost.model import SHELL_DPU, WORKER_DPU, Prices


class Spent:
    """Adds up the job runs of a project, each once, at the prices of operations/cost/prices.toml."""

    def __init__(self, session: boto3.Session, project: str, prices: Prices) -> None:
        self._glue = session.client("glue")
        self._jobs = [f"{project}-{job}" for job in ("ingest", "transform", "load")]
        self._prices = prices
        self._counted: set[str] = set()

    def since_last(self) -> float:
        """Return the USD of the job runs that have ended since the last call. A job that cannot be asked counts as 0."""
        usd = 0.0
        for job in self._jobs:
            try:
                pages = list(self._glue.get_paginator("get_job_runs").paginate(JobName=job))
            except (BotoCoreError, ClientError):  # its stack is not there yet, or no longer
                continue
            for run in (run for page in pages for run in page["JobRuns"]):
                if run.get("CompletedOn") and run["Id"] not in self._counted:
                    self._counted.add(run["Id"])
                    dpus = run["NumberOfWorkers"] * WORKER_DPU[run["WorkerType"]] if "WorkerType" in run else SHELL_DPU
                    seconds = max(run["ExecutionTime"], self._prices["glue_minimum_seconds"])
                    usd += dpus * seconds / 3600 * self._prices["glue_dpu_hour"]
        return usd
