"""A deployment as its stacks describe it: the names by which every command finds buckets, jobs, workflows and secrets."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError, NoCredentialsError, PartialCredentialsError
from totesys.errors import FatalError

from operations.settings import settings

STACKS = ("storage", "secrets", "catalog", "alerts", "roles", "jobs", "workflows", "alarms", "dashboard")  # in the order of need
DEFAULT_PROJECT = "totesys"


@dataclass(frozen=True)
class Deployment:
    """One deployed pipeline. `endpoint` is AWS_ENDPOINT_URL, or None on AWS itself."""

    project: str
    region: str
    endpoint: str | None
    ingestion_bucket: str
    processed_bucket: str
    artifacts_bucket: str
    ingestion_database: str
    mirror_database: str
    star_database: str
    workgroup: str
    ingest_job: str
    transform_job: str
    load_job: str
    ingest_workflow: str
    publish_workflow: str
    source_secret: str
    warehouse_secret: str

    @staticmethod
    def read(session: boto3.Session | None = None, project: str | None = None) -> Deployment:
        """The deployment of a project (by its settings, or totesys), from its stacks' outputs; FatalError when it is not deployed."""
        session = session or aws_session()
        project = project or project_name(settings(os.environ))
        outputs: dict[str, str] = {}
        for stack in STACKS:
            outputs |= stack_outputs(session, f"{project}-{stack}")
        return Deployment(
            project=project,
            region=session.region_name,
            endpoint=os.environ.get("AWS_ENDPOINT_URL"),
            ingestion_bucket=outputs["IngestionBucket"],
            processed_bucket=outputs["ProcessedBucket"],
            artifacts_bucket=outputs["ArtifactsBucket"],
            ingestion_database=outputs["IngestionDatabase"],
            mirror_database=outputs["MirrorDatabase"],
            star_database=outputs["StarDatabase"],
            workgroup=outputs["WorkGroup"],
            ingest_job=outputs["IngestJob"],
            transform_job=outputs["TransformJob"],
            load_job=outputs["LoadJob"],
            ingest_workflow=outputs["IngestWorkflow"],
            publish_workflow=outputs["PublishWorkflow"],
            source_secret=outputs["SourceSecret"],
            warehouse_secret=outputs["WarehouseSecret"],
        )


def project_name(environment: Mapping[str, str]) -> str:
    """The project that the settings name: TOTESYS_PROJECT, or totesys. FatalError when it cannot stand in the name of a bucket."""
    name = environment.get("TOTESYS_PROJECT") or DEFAULT_PROJECT
    if not re.fullmatch(r"[a-z][a-z0-9-]{1,18}[a-z0-9]", name):
        raise FatalError(f"TOTESYS_PROJECT is {name}: it must be 3 to 20 lower case letters, digits and hyphens, beginning with a letter")
    return name


def aws_session() -> boto3.Session:
    """A session in the environment's region, which makes each client once; FatalError when the environment names no region."""
    # boto3 reads AWS_DEFAULT_REGION alone, while other AWS tools read AWS_REGION.
    session = boto3.Session(region_name=os.environ.get("AWS_REGION") or None)
    if not session.region_name:
        raise FatalError('no AWS region is set: set AWS_REGION, or for a local stack run eval "$(scripts/local.sh env)"')
    session.client = cache(session.client)  # type: ignore[method-assign]  # to make one takes as long as two or three calls
    return session


def stack_outputs(session: boto3.Session, stack: str) -> dict[str, str]:
    """The outputs of a deployed stack; FatalError when there is none of that name."""
    found = describe_stack(session, stack)
    if found is None:
        raise FatalError(f"stack {stack} is not deployed in {session.region_name}: run scripts/deploy.sh")
    return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", ())}


def describe_stack(session: boto3.Session, stack: str) -> dict[str, Any] | None:
    """A stack as CloudFormation describes it; None when there is none of that name."""
    try:
        return session.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError as error:
        # A stack that does not exist is a ValidationError, like many another mistake: only the text tells.
        if error.response["Error"]["Code"] == "ValidationError" and "does not exist" in error.response["Error"]["Message"]:
            return None
        raise


def explain(error: BotoCoreError | ClientError) -> str:
    """An AWS error in one line that says what to do."""
    if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
        return 'no AWS credentials: set AWS_PROFILE or the AWS_* variables, or for a local stack run eval "$(scripts/local.sh env)"'
    if isinstance(error, EndpointConnectionError):
        return f"{error}: check AWS_ENDPOINT_URL and the network, or for a local stack run scripts/local.sh up"
    if isinstance(error, ClientError):
        return f"AWS refused {error.operation_name} ({error.response['Error']['Code']}): {error.response['Error']['Message']}"
    return f"AWS could not be reached: {error}"
