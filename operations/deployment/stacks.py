"""The templates, and their deployment by the AWS CLI: every parameter is passed, so that a changed default takes effect."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import boto3
import yaml
from awscli.clidriver import CLIDriver, create_clidriver
from botocore.exceptions import WaiterError
from totesys.errors import FatalError

from operations.deployment import settings
from operations.deployment.deployment import STACKS, describe_stack

TEMPLATES = Path(__file__).parents[2] / "cloudformation"
DECIDED = {  # parameters that the deploy decides, and nobody chooses
    "IngestScript", "TransformScript", "LoadScript", "IngestWheels", "SparkWheels", "SourceJdbcUrl", "WarehouseJdbcUrl", "EnforceTls",
    "CreateLogGroups", "InVpc", "CodeVersion",
}  # fmt: skip


class _Loader(yaml.CSafeLoader):
    """Reads a template's structure; what !Ref and its like stand for is CloudFormation's business."""


_Loader.add_multi_constructor("!", lambda loader, suffix, node: None)


@dataclass(frozen=True)
class Template:
    """One template: its parameters with their defaults (None: it must be given), and whether each resource depends on a condition."""

    name: str
    path: Path
    parameters: dict[str, str | None]
    resources: dict[str, bool]

    @staticmethod
    def read(name: str) -> Template:
        path = TEMPLATES / f"{name}.yaml"
        body: dict[str, Any] = _Loader(path.read_text("utf-8")).get_single_data()
        defaults = {key: None if value.get("Default") is None else str(value["Default"]) for key, value in body["Parameters"].items()}
        return Template(name, path, defaults, {key: "Condition" in value for key, value in body["Resources"].items()})


def variable(parameter: str) -> str:
    """The environment variable that sets a template's parameter: TOTESYS_QUERY_SCAN_LIMIT for QueryScanLimit."""
    return settings.variable(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", parameter))


def check_config(path: Path) -> None:
    """FatalError that names the known keys, when a config file has others."""
    parameters = {parameter for name in STACKS for parameter in Template.read(name).parameters} - DECIDED
    databases = {f"TOTESYS_{name}_{what}" for name in ("SOURCE", "WAREHOUSE") for what in ("URL", "CA")}
    known = {*databases, *map(variable, parameters)}
    unknown = sorted(settings.read_config(path).keys() - known)
    if unknown:
        raise FatalError(
            f"{path} has {', '.join(map(settings.key, unknown))}; known keys are {', '.join(map(settings.key, sorted(known)))}"
        )


def parameter_values(template: Template, known: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """A value for each parameter: what the deploy knows, else the environment's, else the default; FatalError when there is none."""
    values = {}
    for parameter, default in template.parameters.items():
        value = known.get(parameter, environment.get(variable(parameter), default))
        if value is None:
            raise FatalError(f"parameter {parameter} of {template.path.name} has no value: set {variable(parameter)}")
        values[parameter] = value
    return values


def deploy_stack(session: boto3.Session, stack: str, template: Template, parameters: Mapping[str, str]) -> str:
    """Creates or updates a stack and waits; answers created, updated or unchanged. FatalError with the first reason when it fails."""
    before = describe_stack(session, stack)
    if before and before["StackStatus"] == "ROLLBACK_COMPLETE":
        delete_stack(session, stack)  # A creation that failed leaves a stack that can be deleted and nothing else.
        before = None
    returncode, output = run_cli([
        "--region", session.region_name, "cloudformation", "deploy", "--no-fail-on-empty-changeset",
        "--stack-name", stack, "--template-file", str(template.path), "--capabilities", "CAPABILITY_NAMED_IAM",
        "--parameter-overrides", *(f"{name}={value}" for name, value in parameters.items()),
    ])  # fmt: skip
    if returncode:
        raise FatalError(f"stack {stack} could not be deployed: {_failure(session, stack) or _last_line(output)}")
    if "No changes to deploy" in output:
        return "unchanged"
    return "updated" if before else "created"


def run_cli(arguments: Sequence[str]) -> tuple[int, str]:
    """`aws` with these arguments, inside this process: its exit code, and all that it printed."""
    output = io.StringIO()
    with redirect_stdout(output), redirect_stderr(output):
        returncode = _cli().main(list(arguments))
    return returncode, output.getvalue()


@lru_cache(maxsize=1)
def _cli() -> CLIDriver:
    # A process of its own spends 0.9 s of CPU before it does anything; six stacks would pay it six times.
    return create_clidriver()


def delete_stack(session: boto3.Session, stack: str) -> None:
    """Deletes a stack and waits; one that is not there is no error. FatalError with the first reason when it stays."""
    client = session.client("cloudformation")
    client.delete_stack(StackName=stack)
    try:
        client.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig={"Delay": 2, "MaxAttempts": 900})
    except WaiterError as error:
        raise FatalError(f"stack {stack} could not be deleted: {_failure(session, stack) or error}") from error


def _failure(session: boto3.Session, stack: str) -> str:
    """The first thing that went wrong in the stack's latest operation, or nothing when no resource failed."""
    if describe_stack(session, stack) is None:
        return ""
    reasons = []
    for event in session.client("cloudformation").describe_stack_events(StackName=stack)["StackEvents"]:  # newest first
        if event["ResourceStatus"].endswith("_FAILED"):
            reasons.append(f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', event['ResourceStatus'])}")
        began = event["ResourceStatus"] in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS")
        if began and event["ResourceType"] == "AWS::CloudFormation::Stack":
            break
    return reasons[-1] if reasons else ""


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "the AWS CLI said nothing"
