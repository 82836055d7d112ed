"""A deployment as its stacks describe it: the names of its buckets, jobs, workflows and secrets."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

import boto3
from totesys.errors import FatalError

from operations.aws import aws_session
from operations.deployment.settings import settings
from operations.deployment.stacks import STACKS, stack_outputs

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
        """Read a project's deployment from the outputs of its stacks. FatalError when it is not deployed."""
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
    """Return the project of the settings: TOTESYS_PROJECT, or totesys. FatalError when a bucket's name cannot contain it."""
    name = environment.get("TOTESYS_PROJECT") or DEFAULT_PROJECT
    if not re.fullmatch(r"[a-z][a-z0-9-]{1,18}[a-z0-9]", name):
        raise FatalError(f"TOTESYS_PROJECT is {name}: it must be 3 to 20 lower case letters, digits and hyphens, beginning with a letter")
    return name
