"""Says whether the warehouse is the source, where it is not, and since when.

Compares the current rows of the facts and all rows of the dimensions, each database read in one read-only snapshot.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from totesys.contracts import load_contracts
from totesys.lake.store import Bucket
from totesys.runtime.metrics import NAMESPACE
from totesys.runtime.secrets import read_credentials
from totesys.warehouse.state import refuse_newer_warehouse

from operations.aws import explain
from operations.deployment.deployment import Deployment
from operations.reconcile.compare import compare_all
from operations.reconcile.databases import session_with, snapshot
from operations.reconcile.kept_out import read_kept_out
from operations.reconcile.moments import Reconciliation, WarehouseMoment, read_held, read_reconciliation, record
from operations.reconcile.result import Comparison

DIFFERENCES = "Differences"  # the metric of each comparison


@dataclass(frozen=True)
class ReconcileOutcome:
    """What was found, and of which moments it speaks."""

    comparisons: list[Comparison]
    held: WarehouseMoment | None
    reconciliation: Reconciliation

    @property
    def agrees(self) -> bool:
        return all(comparison.matches for comparison in self.comparisons)


def reconcile_databases(session: boto3.Session, deployment: Deployment) -> ReconcileOutcome:
    """Compares every table, by the credentials that the pipeline itself uses, and writes down in the warehouse what came of it."""
    secrets = session.client("secretsmanager")
    of_source, of_warehouse = (read_credentials(secrets, secret) for secret in (deployment.source_secret, deployment.warehouse_secret))
    ingestion = Bucket(session.client("s3"), deployment.ingestion_bucket)
    kept_out = read_kept_out(ingestion)
    with snapshot(of_source, "source") as source, snapshot(of_warehouse, "warehouse") as warehouse:
        with warehouse.cursor() as cursor:
            refuse_newer_warehouse(cursor)
        comparisons = list(compare_all(load_contracts(), source, warehouse, kept_out))
        reconciliation = read_reconciliation(warehouse)
    held = read_held(ingestion, reconciliation.through_batch_seq)
    with session_with(of_warehouse, "warehouse") as writing, writing:
        record(writing, reconciliation, comparisons)
    put_differences(session.client("cloudwatch"), deployment.project, sum(comparison.differences for comparison in comparisons))
    return ReconcileOutcome(comparisons, held, reconciliation)


def put_differences(cloudwatch: Any, project: str, differences: int) -> None:
    """Put the number of differences into CloudWatch, where the report finds it. The comparison counts also where that is refused."""
    datum = {"MetricName": DIFFERENCES, "Dimensions": [{"Name": "Project", "Value": project}], "Value": differences, "Unit": "Count"}
    try:
        cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=[datum])
    except (BotoCoreError, ClientError) as error:
        print(f"reconcile: the report will not show this comparison: {explain(error)}", file=sys.stderr)
