"""Run transform with real clients."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime, timezone

import boto3

from totesys.runtime.arguments import TransformArguments, parse_arguments
from totesys.runtime.run_request import read_run_request
from totesys.runtime.spark_session import spark_session
from totesys.transform.job import TransformClients, TransformJob


def main(argv: Sequence[str]) -> None:
    """Publish all pending batches, if there are any."""
    arguments = parse_arguments(TransformArguments, argv)
    clients = TransformClients(boto3.client("s3"), boto3.client("glue"), boto3.client("events"))
    request = read_run_request(clients.glue, arguments.WORKFLOW_NAME, arguments.WORKFLOW_RUN_ID)
    TransformJob(
        lambda: spark_session("totesys-transform"), clients, arguments, request, secrets.token_hex(4), datetime.now(timezone.utc)
    ).run()
