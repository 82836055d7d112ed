"""The parameters that the deploy decides, from the settings, the code and the account."""

from __future__ import annotations

from collections.abc import Mapping

import boto3
from totesys.errors import FatalError
from totesys.runtime.secrets import Credentials

from operations.deployment.artifacts import Artifacts, code_version
from operations.deployment.deployment import project_name
from operations.deployment.stacks import describe_stack
from operations.deployment.templates import variable

LOG_GROUPS = {f"/aws-glue/{kind}/{stream}" for kind in ("python-jobs", "jobs") for stream in ("output", "error")}
TLS = ("require", "verify-ca", "verify-full")
NETWORK = ("SubnetId", "SecurityGroupId", "AvailabilityZone")


def chosen_parameters(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters that follow from the settings alone. FatalError when the settings contradict each other."""
    return {"Project": project_name(environment), "InVpc": flag(check_network(environment))}


def code_parameters(session: boto3.Session, project: str, artifacts: Artifacts, credentials: Mapping[str, Credentials]) -> dict[str, str]:
    """Return more parameters of the jobs' stack. `credentials` are those of source and warehouse."""
    return {
        **artifacts.parameters(),
        "CodeVersion": deployed_version(session, f"{project}-jobs", artifacts) or code_version(),
        "SourceJdbcUrl": jdbc_url(credentials["source"]),
        "WarehouseJdbcUrl": jdbc_url(credentials["warehouse"]),
        "EnforceTls": flag(all(own.sslmode in TLS for own in credentials.values())),
        "CreateLogGroups": flag(may_create_log_groups(session, f"{project}-jobs")),
    }


def deployed_version(session: boto3.Session, jobs_stack: str, artifacts: Artifacts) -> str | None:
    """Return the version under which this code was deployed; None if the stack has other code.

    So a commit that does not change the code does not change the deployment.
    """
    stack = describe_stack(session, jobs_stack)
    parameters = stack.get("Parameters", ()) if stack else ()
    deployed = {parameter["ParameterKey"]: parameter["ParameterValue"] for parameter in parameters}
    return deployed.get("CodeVersion") if artifacts.parameters().items() <= deployed.items() else None


def check_network(environment: Mapping[str, str]) -> bool:
    """Whether the jobs run in a VPC; FatalError when only part of it is given."""
    given = [variable(parameter) for parameter in NETWORK if environment.get(variable(parameter))]
    if given and len(given) < len(NETWORK):
        raise FatalError(f"{' and '.join(given)} set alone: set all of {', '.join(map(variable, NETWORK))}, or none of them")
    return bool(given)


def jdbc_url(credentials: Credentials) -> str:
    """Return a database's host and port."""
    return f"jdbc:postgresql://{credentials.host}:{credentials.port}/{credentials.dbname}"


def flag(value: bool) -> str:
    """Return a boolean as a template's parameter."""
    return str(value).lower()


def may_create_log_groups(session: boto3.Session, jobs_stack: str) -> bool:
    """Whether the stack owns Glue's log groups or may create them. Other jobs of the account may have created them."""
    if describe_stack(session, jobs_stack):
        resources = session.client("cloudformation").describe_stack_resources(StackName=jobs_stack)["StackResources"]
        present = [resource for resource in resources if not resource["ResourceStatus"].startswith("DELETE")]
        if present:
            return any(resource["ResourceType"] == "AWS::Logs::LogGroup" for resource in present)
    pages = session.client("logs").get_paginator("describe_log_groups").paginate(logGroupNamePrefix="/aws-glue/")
    return LOG_GROUPS.isdisjoint(group["logGroupName"] for page in pages for group in page["logGroups"])
