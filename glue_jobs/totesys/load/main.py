"""Run the load with real clients."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import boto3

from totesys.contracts import load_contracts
from totesys.lake.store import Bucket
from totesys.load.job import LoadJob
from totesys.runtime.arguments import LoadArguments, parse_arguments
from totesys.runtime.run_request import read_run_request
from totesys.runtime.secrets import read_credentials
from totesys.runtime.spark_session import spark_session


def main(argv: Sequence[str]) -> None:
    """Load all batches that the warehouse lacks, if there are any."""
    arguments = parse_arguments(LoadArguments, argv)
    LoadJob(
        project=arguments.project,
        events=boto3.client("events"),
        processed=Bucket(boto3.client("s3"), arguments.processed_bucket),
        credentials=read_credentials(boto3.client("secretsmanager"), arguments.warehouse_secret),
        contracts=load_contracts(),
        spark=lambda: spark_session("totesys-load"),
        attempt=secrets.token_hex(4),
        request=read_run_request(boto3.client("glue"), arguments.WORKFLOW_NAME, arguments.WORKFLOW_RUN_ID),
    ).run()
