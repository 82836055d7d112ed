"""The command behind scripts/destroy.sh: removes what a deploy has made.

What is removed is what the stacks name, so it is the deploy's own; buckets and log groups, which outlive their stacks, go before them,
so that a second run finds what a first one left.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

import boto3
from rich.console import Console
from totesys.errors import FatalError

from operations.cli.attempt import Attempt
from operations.cli.console import make_console
from operations.deployment.buckets import delete_bucket, empty_bucket
from operations.deployment.deployment import STACKS, Deployment, aws_session, describe_stack, project_name
from operations.deployment.settings import settings
from operations.deployment.stacks import delete_stack
from operations.workflows.display import RunDisplay
from operations.workflows.runs import Workflows
from operations.workflows.trigger import deactivate, schedule_trigger

KEPT = ("storage", "secrets", "catalog")  # with --keep-data: the catalog says which of the buckets' files are the current ones
_ARTIFACTS = "ArtifactsBucket"
_DESCRIPTION = (
    "Removes the deployment that TOTESYS_PROJECT or TOTESYS_CONFIG names: its stacks, its buckets with every version in them, the catalog's"
    " databases and tables, secrets, and logs. Runs in progress are waited for. Source and warehouse stay as they are, with the pipeline's"
    " roles in them."
)


def main(argv: Sequence[str]) -> int:
    """0: removed, or nothing was there; 1: failed half way; 2: could not start, or not confirmed; 130: interrupted."""
    parser = argparse.ArgumentParser(prog="scripts/destroy.sh", description=_DESCRIPTION)
    parser.add_argument("--keep-data", action="store_true", help="keep both data buckets, the catalog and the secrets for a later deploy")
    parser.add_argument("--yes", action="store_true", help="do not ask for the project's name")
    arguments = parser.parse_args(argv)
    with Attempt("destroy") as attempt:
        destroying = Destroying(aws_session(), project_name(settings(os.environ)), arguments.keep_data, make_console())
        if destroying.stacks and not arguments.yes:
            confirm(destroying.project, arguments.keep_data)
        attempt.has_started = True
        destroying.destroy()
    return attempt.exit_code


def confirm(project: str, keep_data: bool) -> None:
    """FatalError unless a person types the project's name."""
    what = "all but its data" if keep_data else "all of it, raw data included,"
    if not sys.stdin.isatty():
        raise FatalError(f"nobody is here to confirm that {what} goes: say --yes")
    if input(f"{what[0].upper()}{what[1:]} goes. Type the project's name, {project}, to remove it: ") != project:
        raise FatalError("that is not its name: nothing was removed")


class Destroying:
    """The removal of one project. `stacks` are those that are there and go, in the reverse of the order in which they need each other."""

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
        """Removes everything, or what is left of it."""
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
        """Stops the schedule, and waits for runs in progress: they would write into what is being removed."""
        glue = self._session.client("glue")
        deactivate(glue, schedule_trigger(self.project))
        with RunDisplay(self._console) as display:
            Workflows(glue, Deployment.read(self._session, self.project), display).wait_for_others()

    def _delete_logs(self) -> None:
        """Deletes Glue's log groups, if our stack made them and no other job of the account writes to them."""
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

    def _resources(self, name: str) -> list[Any]:
        """The resources of a stack that are there, as far as it knows."""
        described = self._session.client("cloudformation").describe_stack_resources(StackName=f"{self.project}-{name}")
        return [resource for resource in described["StackResources"] if resource.get("PhysicalResourceId")]

    def _say(self, line: str) -> None:
        self._console.print(f"destroy: {line}", markup=False, emoji=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
