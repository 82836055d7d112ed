"""Remove what a deploy has created.

Only what the stacks name is removed. No bucket, database or log group is found by a guessed name. Buckets and log groups would outlive
their stacks, so they are removed first. Then a second run still finds what an interrupted run left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3
from rich.console import Console

from operations.deployment.buckets import delete_bucket, empty_bucket
from operations.deployment.deployment import Deployment
from operations.deployment.stacks import STACKS, delete_stack, describe_stack
from operations.workflows.display import RunDisplay
from operations.workflows.runs import WorkflowRuns
from operations.workflows.trigger import deactivate, schedule_trigger

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.type_defs import StackResourceTypeDef

KEPT = ("storage", "secrets", "catalog")  # with --keep-data: the catalog says which of the buckets' files are the current ones
_ARTIFACTS = "ArtifactsBucket"


class Destroying:
    """The removal of one project. `stacks` are the existing stacks to delete, each before the stacks that it depends on."""

    def __init__(self, session: boto3.Session, project: str, keep_data: bool, console: Console) -> None:
        self.project = project
        self._session = session
        self._keep_data = keep_data
        self._console = console
        there = [name for name in STACKS if describe_stack(session, f"{project}-{name}")]
        self._is_whole = len(there) == len(STACKS)
        self.kept = [name for name in there if keep_data and name in KEPT]
        self.stacks = [name for name in reversed(there) if name not in self.kept]

    def destroy(self) -> None:
        """Remove everything that is still there."""
        if self._is_whole:
            self._stop()
        for name in self.stacks:
            if name == "jobs":
                self._delete_logs()
            if name == "storage":
                self._delete_buckets()
            delete_stack(self._session, f"{self.project}-{name}")
            self._say(f"stack {self.project}-{name}: removed")
        self._say_the_end()

    def _stop(self) -> None:
        """Stop the schedule, and wait for runs in progress, which would write into what is being removed."""
        glue = self._session.client("glue")
        deactivate(glue, schedule_trigger(self.project))
        with RunDisplay(self._console) as display:
            WorkflowRuns(glue, Deployment.read(self._session, self.project), display).wait_for_others()

    def _delete_logs(self) -> None:
        """Delete Glue's log groups, if our stack created them and no other job of the account writes to them."""
        resources = self._resources("jobs")
        jobs = {resource["PhysicalResourceId"] for resource in resources if resource["ResourceType"] == "AWS::Glue::Job"}
        groups = [resource["PhysicalResourceId"] for resource in resources if resource["ResourceType"] == "AWS::Logs::LogGroup"]
        pages = self._session.client("glue").get_paginator("get_jobs").paginate()
        if groups and {job["Name"] for page in pages for job in page["Jobs"]} - jobs:
            self._say(f"log groups {', '.join(groups)}: kept, since other jobs of this account write to them")
            return
        logs = self._session.client("logs")
        for group in groups:
            try:
                logs.delete_log_group(logGroupName=group)
            except logs.exceptions.ResourceNotFoundException:
                continue
            self._say(f"log group {group}: removed")

    def _delete_buckets(self) -> None:
        s3 = self._session.client("s3")
        for resource in self._resources("storage"):
            if resource["ResourceType"] == "AWS::S3::Bucket":
                deleted = delete_bucket(s3, resource["PhysicalResourceId"])
                self._say(f"bucket {resource['PhysicalResourceId']}: removed, with {deleted:,} versions of objects")

    def _say_the_end(self) -> None:
        if not self.stacks:
            self._say(f"nothing of {self.project} is deployed in {self._session.region_name}" + (" but its data" if self.kept else ""))
        if not self.kept:
            return
        kept = []
        for resource in (resource for stack in self.kept for resource in self._resources(stack)):
            name = resource["PhysicalResourceId"]
            if resource["LogicalResourceId"] == _ARTIFACTS:
                empty_bucket(self._session.client("s3"), name)
            elif resource["ResourceType"] in ("AWS::S3::Bucket", "AWS::Glue::Database", "AWS::SecretsManager::Secret"):
                kept.append(name.rpartition(":")[2])  # of a secret, its ARN's end
        self._say(f"kept: {', '.join(kept)}; scripts/deploy.sh takes them up again, and scripts/destroy.sh removes them")

    def _resources(self, name: str) -> list[StackResourceTypeDef]:
        """Return the resources that a stack has."""
        described = self._session.client("cloudformation").describe_stack_resources(StackName=f"{self.project}-{name}")
        return [resource for resource in described["StackResources"] if resource.get("PhysicalResourceId")]

    def _say(self, line: str) -> None:
        self._console.print(f"destroy: {line}", markup=False, emoji=False, soft_wrap=True)
