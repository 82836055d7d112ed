"""Each job's role against the calls that the job really makes: nothing that it needs is missing, and nothing is allowed for nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from datetime import datetime, timedelta, timezone
from importlib import import_module

import pytest
from pyspark.sql import SparkSession
from totesys.arguments import LoadArguments
from totesys.demands import Demands
from totesys.entry import run_job

from local_aws.spark import aws_environment
from tests.conftest import Database
from tests.exactness.proxies import ProxiedWorld, proxied_world
from tests.exactness.sweep_deltas import Deltas
from tests.local_aws.machine import LocalAws, free_port
from tests.templates.test_templates import listed, resources, statements

JOBS = ("ingest", "transform", "load")
# What stands in the roles though no call here shows it.
UNSEEN = {
    "s3:AbortMultipartUpload": "after an upload in parts that broke off",
    "s3:ListBucketMultipartUploads": "S3A looks for uploads of its own that broke off",
    "events:PutEvents": "when a job has an alert to send, which not every job has here",
    "glue:BatchDeletePartition": "where partitions have gone with a lake that was lost",
    "glue:GetTable": "Glue asks for it where partitions are made",
    "glue:GetWorkflowRunProperties": "inside a workflow's run, whose demands it reads",
    "cloudwatch:GetMetricStatistics": "of a run of more than a minute",
    "kms:Decrypt": "S3's and Secrets Manager's own, as the job, where a key is given",
    "kms:GenerateDataKey": "S3's own, as the job, where a key is given",
    "logs:CreateLogGroup": "Glue's own, as the job",
    "logs:CreateLogStream": "Glue's own, as the job",
    "logs:PutLogEvents": "Glue's own, as the job",
    "glue:GetConnection": "Glue's own, as the job",
}
_S3 = {
    "GET": "GetObject",
    "HEAD": "GetObject",
    "PUT": "PutObject",
    "POST part": "PutObject",
    "PUT part": "PutObject",
    "LIST": "ListBucket",
    "DELETE": "DeleteObject",
}
_KIND = re.compile(r"Project\}-(?:storage|catalog)-(Ingestion|Processed|Current)(?:Bucket|Database)")


def needed(call: str) -> tuple[str, str]:
    """The IAM action of a call, and the bucket or database that it is about; empty where it is about none."""
    service, operation, *rest = call.split(" ")
    if service != "s3":
        return f"{service}:{operation}", rest[0].split(".")[0] if service == "glue" and rest else ""
    if rest[0] == "part":
        operation, rest = f"{operation} part", rest[1:]
    return f"s3:{_S3[operation]}", rest[0]


def allowed(job: str) -> set[tuple[str, str]]:
    """What the role of a job is allowed, in the same terms; the code's bucket, which Glue reads, and the network's aside."""
    role = resources("roles", "AWS::IAM::Role")[f"{job.title()}Role"]
    found = set()
    for statement in statements(role):
        text = json.dumps(statement["Resource"])
        if statement["Sid"] == "ReadCode" or any(action.startswith("ec2:") for action in listed(statement["Action"])):
            continue
        kinds = {kind.lower() for kind in _KIND.findall(text)} or {""}
        found |= {(action, kind) for action in listed(statement["Action"]) for kind in kinds}
    return found


@pytest.fixture(scope="module")
def proxied(
    aws: LocalAws, spark: SparkSession, postgres: object, source_template: str, warehouse_template: str, new_database: Callable[[str], str]
) -> Iterator[ProxiedWorld]:
    source, warehouse = (Database(postgres, new_database(template)) for template in (source_template, warehouse_template))
    with proxied_world(spark, aws, source, warehouse) as made:
        yield made


@pytest.fixture(scope="module")
def made(proxied: ProxiedWorld) -> dict[str, set[tuple[str, str]]]:
    """What the jobs' scripts call, from a first run to a backfill, the sweeping of what was replaced, and a warehouse that is down."""
    world, deltas = proxied.world, Deltas(proxied.source)
    arguments = {
        "ingest": world.ingest_arguments,
        "transform": world.transform_arguments,
        "load": LoadArguments(world.name, world.processed.name, world.ingest_arguments.warehouse_secret),
    }
    calls: dict[str, set[tuple[str, str]]] = {job: set() for job in JOBS}

    def script(job: str) -> None:
        words = [word for name, value in asdict(arguments[job]).items() if value for word in (f"--{name}", value)]
        run_job(job, import_module(f"totesys.{job}.main").main, words)

    def noted(job: str, run: Callable[[], object]) -> None:
        proxied.calls.arm(None)
        run()
        calls[job] |= {needed(call) for call in proxied.calls.seen if not call.startswith(("source", "warehouse"))}

    with pytest.MonkeyPatch.context() as patch:
        for name, value in aws_environment(proxied.endpoint).items():
            patch.setenv(name, value)
        for _ in range(2):
            for job in JOBS:
                noted(job, lambda job=job: script(job))
            deltas.apply()
        later = datetime.now(timezone.utc) + timedelta(days=2)
        noted("ingest", lambda: script("ingest"))
        noted("transform", lambda: world.transform(Demands(backfill=True), now=later))
        noted("load", lambda: world.load(Demands(backfill=True)))
        world.move_warehouse(replace(world.warehouse, port=free_port()))
        noted("ingest", lambda: script("ingest"))  # it cannot ask the warehouse, and looks at what is published
    return calls


@pytest.mark.parametrize("job", JOBS)
def test_a_job_may_do_all_that_it_does(made: dict[str, set[tuple[str, str]]], job: str) -> None:
    assert made[job] - allowed(job) == set()


@pytest.mark.parametrize("job", JOBS)
def test_a_job_may_do_nothing_else(made: dict[str, set[tuple[str, str]]], job: str) -> None:
    assert {one for one in allowed(job) - made[job] if one[0] not in UNSEEN} == set()


def test_every_exception_is_one(made: dict[str, set[tuple[str, str]]]) -> None:
    assert {action for job in JOBS for action, _ in allowed(job)} >= set(UNSEEN)
