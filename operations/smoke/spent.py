"""What the runs of Glue have cost so far: nearly all of a smoke test's bill."""

from __future__ import annotations

import boto3
from botocore.exceptions import ClientError

from operations.cost.model import SHELL_DPU, WORKER_DPU, Prices


class Spent:
    """Counts every job run of a project once, at the prices of operations/cost/prices.toml."""

    def __init__(self, session: boto3.Session, project: str, prices: Prices) -> None:
        self._glue = session.client("glue")
        self._jobs = [f"{project}-{job}" for job in ("ingest", "transform", "load")]
        self._prices = prices
        self._counted: set[str] = set()

    def since_last(self) -> float:
        """Return the USD of the job runs that have ended since the last call. A job that is not there has cost nothing."""
        usd = 0.0
        for job in self._jobs:
            try:
                runs = self._glue.get_job_runs(JobName=job)["JobRuns"]
            except ClientError:
                continue
            for run in runs:
                if run.get("CompletedOn") and run["Id"] not in self._counted:
                    self._counted.add(run["Id"])
                    dpus = run["NumberOfWorkers"] * WORKER_DPU[run["WorkerType"]] if "WorkerType" in run else SHELL_DPU
                    seconds = max(run["ExecutionTime"], self._prices["glue_minimum_seconds"])
                    usd += dpus * seconds / 3600 * self._prices["glue_dpu_hour"]
        return usd
