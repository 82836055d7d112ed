"""What ministack's CloudFormation lacks: workflows, saved queries, properties of jobs and triggers, buckets' lifecycle, secrets by ARN,
boundaries of roles."""

from collections.abc import Callable, Mapping
from typing import Any
from xml.etree import ElementTree

from ministack.services import athena, glue, iam, s3
from ministack.services.cloudformation import provisioners

from local_aws.api import Record
from local_aws.cloudwatch import log_queries

_NAMED_QUERY = "AWS::Athena::NamedQuery"
_WORKFLOW = "AWS::Glue::Workflow"
_WORKFLOW_DEFAULTS: Record = {"Description": "", "DefaultRunProperties": {}, "MaxConcurrentRuns": 0}

# A property of a lifecycle rule in CloudFormation -> its path of elements in S3's XML. Other properties are refused.
_RULE_ELEMENTS = {
    "Id": ["ID"],
    "Status": ["Status"],
    "Prefix": ["Filter", "Prefix"],
    "ExpirationInDays": ["Expiration", "Days"],
    "ExpiredObjectDeleteMarker": ["Expiration", "ExpiredObjectDeleteMarker"],
    "NoncurrentVersionExpirationInDays": ["NoncurrentVersionExpiration", "NoncurrentDays"],
    "NoncurrentVersionExpiration": ["NoncurrentVersionExpiration"],
    "AbortIncompleteMultipartUpload": ["AbortIncompleteMultipartUpload"],
}


def extend() -> None:
    """Add to ministack's tables of resource types. Its own handlers stay."""
    # Properties that its handlers copy from a template into a job or a trigger, with their defaults.
    provisioners._GLUE_JOB_DEFAULTS.update({"ExecutionProperty": {"MaxConcurrentRuns": 1}, "ExecutionClass": "STANDARD"})
    provisioners._GLUE_TRIGGER_DEFAULTS.update({"EventBatchingCondition": {}})
    handlers = provisioners._RESOURCE_HANDLERS
    handlers[_WORKFLOW] = {"create": _create_workflow, "update": _update_workflow, "delete": _delete_workflow}
    handlers[log_queries.RESOURCE_TYPE] = log_queries.handlers()
    handlers[_NAMED_QUERY] = {"create": _create_named_query, "update": _replace_named_query, "delete": _delete_named_query}
    bucket = handlers["AWS::S3::Bucket"]
    handlers["AWS::S3::Bucket"] = {
        **bucket,
        "create": _then_lifecycle(bucket["create"], properties_at=1),
        "update": _then_lifecycle(bucket["update"], properties_at=2),
    }
    role = handlers["AWS::IAM::Role"]
    handlers["AWS::IAM::Role"] = {
        **role,
        "create": _within_boundary(role["create"], properties_at=1),
        "update": _within_boundary(role["update"], properties_at=2),
    }
    secret = handlers["AWS::SecretsManager::Secret"]
    handlers["AWS::SecretsManager::Secret"] = {
        **secret,
        "create": lambda *arguments: _by_arn(secret["create"](*arguments)),
        "update": lambda arn, *arguments: _by_arn(secret["update"](_secret_name(arn), *arguments)),
        "delete": lambda arn, properties: secret["delete"](_secret_name(arn), properties),
    }


def _create_workflow(logical_id: str, properties: Record, stack_name: str) -> tuple[str, Record]:
    name = properties.get("Name") or provisioners._physical_name(stack_name, logical_id, max_len=255)
    data = {key: properties[key] for key in _WORKFLOW_DEFAULTS if key in properties}
    tags = provisioners._tag_map(properties.get("Tags"))
    provisioners._glue_call(glue._create_workflow, {**data, "Name": name, "Tags": tags}, _WORKFLOW, "create")
    return name, {}


def _update_workflow(name: str, old: Record, new: Record, stack_name: str) -> tuple[str, Record]:
    if new.get("Name", name) != name:
        created = _create_workflow("", new, stack_name)
        _delete_workflow(name, old)
        return created
    data = {key: new.get(key, default) for key, default in _WORKFLOW_DEFAULTS.items()}
    provisioners._glue_call(glue._update_workflow, {**data, "Name": name}, _WORKFLOW, "update")
    provisioners._glue_sync_tags(glue._arn("workflow", name), old, new, _WORKFLOW)
    return name, {}


def _delete_workflow(name: str, properties: Record) -> None:
    glue._delete_workflow({"Name": name})  # no error if it is gone already


def _create_named_query(logical_id: str, properties: Record, stack_name: str) -> tuple[str, Record]:
    created = provisioners._glue_call(athena._create_named_query, properties, _NAMED_QUERY, "create")
    return created["NamedQueryId"], {}


def _replace_named_query(query_id: str, old: Record, new: Record, stack_name: str) -> tuple[str, Record]:
    """Replace a saved query. None of its properties can be updated."""
    created = _create_named_query("", new, stack_name)
    _delete_named_query(query_id, old)
    return created


def _delete_named_query(query_id: str, properties: Record) -> None:
    athena._delete_named_query({"NamedQueryId": query_id})


def _by_arn(created: tuple[str, Record]) -> tuple[str, Record]:
    """Return a secret's ARN as its Ref, which policies rely on. ministack returns its name."""
    _, attributes = created
    return attributes["Arn"], attributes


def _secret_name(arn: str) -> str:
    return arn.partition(":secret:")[2].rpartition("-")[0]


def _then_lifecycle(handler: Callable[..., tuple[str, Record]], properties_at: int) -> Callable[..., tuple[str, Record]]:
    def handle(*arguments: Any) -> tuple[str, Record]:
        bucket, attributes = handler(*arguments)
        lifecycle = arguments[properties_at].get("LifecycleConfiguration")
        if lifecycle:
            s3._put_bucket_lifecycle(bucket, lifecycle_xml(lifecycle))
        else:
            s3._bucket_lifecycle.pop(bucket, None)
        return bucket, attributes

    return handle


def _within_boundary(handler: Callable[..., tuple[str, Record]], properties_at: int) -> Callable[..., tuple[str, Record]]:
    def handle(*arguments: Any) -> tuple[str, Record]:
        boundary = arguments[properties_at].get("PermissionsBoundary")
        if boundary and boundary not in iam._policies:
            raise ValueError(f"Scope ARN: {boundary} does not exist or is not attachable.")
        name, attributes = handler(*arguments)
        iam._roles[name]["PermissionsBoundary"] = boundary
        return name, attributes

    return handle


def lifecycle_xml(lifecycle: Mapping[str, Any]) -> bytes:
    """Return CloudFormation's LifecycleConfiguration as the body of PutBucketLifecycleConfiguration."""
    root = ElementTree.Element("LifecycleConfiguration")
    for rule in lifecycle["Rules"]:
        element = ElementTree.SubElement(root, "Rule")
        for name, value in {"Prefix": "", **rule}.items():
            if name not in _RULE_ELEMENTS:
                raise ValueError(f"AWS::S3::Bucket LifecycleConfiguration: {name} is not supported on this machine")
            at = element
            for step in _RULE_ELEMENTS[name]:
                found = at.find(step)
                at = ElementTree.SubElement(at, step) if found is None else found
            if isinstance(value, Mapping):
                for child, content in value.items():
                    # S3 says NoncurrentDays and DaysAfterInitiation, as the templates do.
                    ElementTree.SubElement(at, child).text = str(content)
            else:
                at.text = str(value).lower() if isinstance(value, bool) else str(value)
    return ElementTree.tostring(root)
