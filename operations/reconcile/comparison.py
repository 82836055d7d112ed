"""Compare the warehouse with the source: whether they agree, where they differ, and when they last agreed.

Compares the current rows of the facts and all rows of the dimensions, each database read in one read-only snapshot.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
from operations.reconcile.moments import WarehouseMoment, WarehouseState, read_moment, read_warehouse_state, record
from operations.reconcile.result import TableComparison

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_cloudwatch.type_defs import MetricDatumTypeDef

DIFFERENCES = "Differences"  # the metric of each comparison


@dataclass(frozen=True)
class Comparison:
    """A comparison of the warehouse with the source: what it found in each table, and of which moments it speaks."""

    tables: list[TableComparison]
    moment: WarehouseMoment | None
    warehouse: WarehouseState

    @property
    def agrees(self) -> bool:
        return all(table.matches for table in self.tables)


def compare_databases(session: boto3.Session, deployment: Deployment) -> Comparison:
    """Compare every table, with the credentials that the pipeline uses, and record the result in the warehouse and in CloudWatch."""
    secrets = session.client("secretsmanager")
    of_source, of_warehouse = (read_credentials(secrets, secret) for secret in (deployment.source_secret, deployment.warehouse_secret))
    ingestion = Bucket(session.client("s3"), deployment.ingestion_bucket)
    kept_out = read_kept_out(ingestion)
    with snapshot(of_source, "source") as source, snapshot(of_warehouse, "warehouse") as warehouse:
        with warehouse.cursor() as cursor:
            refuse_newer_warehouse(cursor)
        tables = list(compare_all(load_contracts(), source, warehouse, kept_out))
        state = read_warehouse_state(warehouse)
    moment = read_moment(ingestion, state.through_batch_seq)
    with session_with(of_warehouse, "warehouse") as writing, writing:
        record(writing, state, tables)
    put_differences(session.client("cloudwatch"), deployment.project, sum(table.differences for table in tables))
    return Comparison(tables, moment, state)


def put_differences(cloudwatch: CloudWatchClient, project: str, differences: int) -> None:
    """Put the number of differences into CloudWatch, where the report finds it. A refusal is printed."""
    datum: MetricDatumTypeDef = {
        "MetricName": DIFFERENCES,
        "Dimensions": [{"Name": "Project", "Value": project}],
        "Value": differences,
        "Unit": "Count",
    }
    try:
        cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=[datum])
    except (BotoCoreError, ClientError) as error:
        print(f"reconcile: the report will not show this comparison: {explain(error)}", file=sys.stderr)
