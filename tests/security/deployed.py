"""A deployed stack whose roles can lose one right at a time, and what its jobs, its event rule and its function then do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from tests.support.cloudformation import listed, resources, statements
from tests.support.local_aws.machine import free_port
from tests.support.stack import DeployedStack

PROJECT = "rights"
_UPDATE = "UPDATE sales_order SET units_sold = units_sold + 1, last_updated = now() AT TIME ZONE 'UTC' WHERE sales_order_id = 2"
# Statements that are there only with a key of one's own, or inside a VPC: they are for what S3, Secrets Manager and Glue do as the role.
NOT_DEPLOYED = {"UseKey", "ReadConnection", "AttachToVpc", "TagInterfaces"}
_SHIPPED = """
from totesys.runtime.shipped import put_shipped_packages_first
put_shipped_packages_first()
"""


@dataclass(frozen=True)
class Right:
    """One action of one statement; of a statement that names several things of which each is needed, on one of these."""

    role: str
    sid: str
    action: str
    resource: int | None = None

    def __str__(self) -> str:
        return f"{self.role}-{self.sid}-{self.action}" + ("" if self.resource is None else f"-{self.resource}")


def rights_of(role: str, properties: dict[str, Any]) -> Iterator[Right]:
    for statement in statements(properties):
        things = listed(statement["Resource"])
        for action in listed(statement["Action"]):
            # A thing of the catalog is allowed only together with what it is in.
            numbers = range(len(things)) if len(things) > 1 and not action.startswith("glue:") else [None]
            if statement["Sid"] not in NOT_DEPLOYED:
                yield from (Right(role, statement["Sid"], action, number) for number in numbers)


ROLES = {
    name.removesuffix("Role").lower(): properties
    for stack in ("roles", "alerts")
    for name, properties in resources(stack, "AWS::IAM::Role").items()
}
RIGHTS = [right for role, properties in ROLES.items() for right in rights_of(role, properties)]


@dataclass
class Deployed:
    """A deployed stack with the function for Slack, after its first tick; no event starts its publish workflow."""

    stack: DeployedStack

    def client(self, service: str) -> Any:
        return self.stack.aws.client(service)

    @contextmanager
    def without(self, right: Right) -> Iterator[None]:
        """Meanwhile the role lacks the right."""
        role, iam = f"{PROJECT}-{right.role}-eu-west-2", self.client("iam")
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
            policy = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            rest = [part for statement in policy["Statement"] for part in lessened(statement, right)]
            if rest != policy["Statement"]:
                break
        else:
            raise AssertionError(f"{role} has no {right}")

        def put(statements: list[dict[str, Any]]) -> None:
            iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps({**policy, "Statement": statements}))

        if rest:
            put(rest)
        else:
            iam.delete_role_policy(RoleName=role, PolicyName=name)
        try:
            yield
        finally:
            put(policy["Statement"])

    def run(self, job: str) -> dict[str, Any]:
        """A run of a job on its own."""
        return self.stack.aws.run(f"{PROJECT}-{job}")

    def run_of_workflow(self, workflow: str, job: str) -> dict[str, Any]:
        """The run of a job that a new run of a workflow has started."""
        name = f"{PROJECT}-{workflow}"
        self.stack.aws.workflow_ended(name, self.client("glue").start_workflow_run(Name=name)["RunId"])
        runs: list[dict[str, Any]] = self.client("glue").get_job_runs(JobName=f"{PROJECT}-{job}")["JobRuns"]
        return max(runs, key=lambda run: run["StartedOn"])

    def publishes(self) -> list[dict[str, Any]]:
        """All runs of the publish workflow; Glue promises no order."""
        pages = self.client("glue").get_paginator("get_workflow_runs").paginate(Name=f"{PROJECT}-publish")
        return [run for page in pages for run in page["Runs"]]

    def script(self, role: str, source: str) -> dict[str, Any]:
        """A run of other code by a job's role, with the job's arguments and wheels."""
        glue, key = self.client("glue"), "scripts/by-role.py"
        job = glue.get_job(JobName=f"{PROJECT}-{role}")["Job"]
        bucket = self.stack.deployment.artifacts_bucket
        self.stack.aws.s3.put_object(Bucket=bucket, Key=key, Body=(_SHIPPED + source).encode())
        name = f"{PROJECT}-by-{role}"
        command = {**job["Command"], "ScriptLocation": f"s3://{bucket}/{key}"}
        definition = {"Role": job["Role"], "Command": command, "DefaultArguments": job["DefaultArguments"]}
        if name in [known["Name"] for known in glue.get_jobs()["Jobs"]]:
            glue.update_job(JobName=name, JobUpdate=definition)
        else:
            glue.create_job(Name=name, **definition)
        return self.stack.aws.run(name)

    def change(self) -> None:
        """A batch will have something to bring."""
        with closing(self.stack.source.connect()) as connection, connection, connection.cursor() as cursor:
            cursor.execute(_UPDATE)

    @contextmanager
    def warehouse_down(self) -> Iterator[None]:
        """Meanwhile ingest cannot ask the warehouse, and looks at what is published."""
        secrets, name = self.client("secretsmanager"), f"{PROJECT}/warehouse"
        text = secrets.get_secret_value(SecretId=name)["SecretString"]
        secrets.put_secret_value(SecretId=name, SecretString=json.dumps({**json.loads(text), "port": free_port()}))
        yield
        secrets.put_secret_value(SecretId=name, SecretString=text)

    def streams(self, run: dict[str, Any]) -> list[str]:
        """The log groups that hold a run's log."""
        logs = self.client("logs")
        groups = [group["logGroupName"] for group in logs.describe_log_groups(logGroupNamePrefix="/aws-glue/")["logGroups"]]
        return [name for name in groups if logs.describe_log_streams(logGroupName=name, logStreamNamePrefix=run["Id"])["logStreams"]]

    def log(self, run: dict[str, Any]) -> str:
        return "\n".join(self.stack.aws.output(run["Id"], f"{run['LogGroupName']}/output"))


def lessened(statement: dict[str, Any], right: Right) -> list[dict[str, Any]]:
    """What is left of a statement without a right."""
    if statement["Sid"] != right.sid:
        return [statement]
    others = [action for action in listed(statement["Action"]) if action != right.action]
    parts = [{**statement, "Action": others}] if others else []
    if right.resource is not None:
        things = listed(statement["Resource"])
        parts.append({**statement, "Action": right.action, "Resource": [*things[: right.resource], *things[right.resource + 1 :]]})
    return parts


def publish_rule(stack: DeployedStack) -> str:
    rules = stack.aws.client("events").list_rules()["Rules"]
    return str(next(rule["Name"] for rule in rules if rule["Name"].startswith(PROJECT) and "totesys.ingest" in rule["EventPattern"]))


@dataclass(frozen=True)
class CatalogPartition:
    """A partition as the catalog has it."""

    place: dict[str, str]
    values: list[str]
    descriptor: dict[str, Any]

    def behind(self, values: list[str]) -> dict[str, Any]:
        """One with these values that no publish has moved yet."""
        return {"Values": values, "StorageDescriptor": self.descriptor, "Parameters": {"publish_seq": "0"}}


def set_back(deployed: Deployed, partition: CatalogPartition) -> None:
    behind = partition.behind(partition.values)
    deployed.client("glue").update_partition(**partition.place, PartitionValueList=partition.values, PartitionInput=behind)


def add_one_too_many(deployed: Deployed, partition: CatalogPartition) -> None:
    deployed.client("glue").create_partition(**partition.place, PartitionInput=partition.behind(["gone"]))


def one_partition(deployed: Deployed, database: str, table: str) -> CatalogPartition:
    place = {"DatabaseName": f"{PROJECT}_{database}", "TableName": table}
    found = deployed.client("glue").get_partitions(**place)["Partitions"][0]
    return CatalogPartition(place, found["Values"], found["StorageDescriptor"])
