"""Run ingest with real clients."""

from __future__ import annotations

from collections.abc import Sequence

import boto3
from boto3.compat import filter_python_deprecation_warnings

from totesys.contracts.registry import registered_contracts
from totesys.ingest.job import IngestClients, run
from totesys.runtime.arguments import IngestArguments, parse_arguments
from totesys.runtime.run_request import read_run_request


def main(argv: Sequence[str]) -> None:
    """Run one ingest with the clients of this environment."""
    arguments = parse_arguments(IngestArguments, argv)
    filter_python_deprecation_warnings()  # Glue's Python shell has no Python newer than 3.9
    session = boto3.Session()
    clients = IngestClients(session.client("s3"), session.client("glue"), session.client("events"), session.client("secretsmanager"))
    request = read_run_request(clients.glue, arguments.WORKFLOW_NAME, arguments.WORKFLOW_RUN_ID)
    run(arguments, clients, registered_contracts(clients.glue, arguments.ingestion_database), request)
