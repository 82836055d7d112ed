"""The resources and condition keys of a call, where ministack does not read them from the request.

The source is AWS's Service Authorization Reference: a call on something in the Data Catalog needs the right for the thing and for all
that it is in, and an event or a metric is allowed by what it says it comes from.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from local_aws.api import Record


@dataclass(frozen=True)
class Check:
    """A right that a call needs: its resource and its condition keys."""

    resource: str
    keys: Record = field(default_factory=dict)


def checks(action: str, body: bytes, parameters: dict[str, Any], place: str) -> list[Check]:
    """Return the rights that a call of Glue, EventBridge, CloudWatch or its Logs needs. Empty where ministack finds them itself.

    `place` is `<region>:<account>`, as in an ARN.
    """
    service, _, operation = action.partition(":")
    if service == "glue":
        return [Check(f"arn:aws:glue:{place}:{resource}") for resource in _glue_resources(operation, _json(body))]
    if action == "events:PutEvents":
        return _events(_json(body).get("Entries") or [], place)
    if action == "cloudwatch:PutMetricData":
        return [Check("*", {"cloudwatch:namespace": _namespace(body, parameters)})]
    if service == "logs" and _json(body).get("logGroupName"):
        return [Check(log_resource(place, _json(body)["logGroupName"], _json(body).get("logStreamName", "")))]
    return []


def log_resource(place: str, group: str, stream: str = "") -> str:
    """Return the ARN that CloudWatch Logs checks a right for: a log group, with or without the name of a stream."""
    return f"arn:aws:logs:{place}:log-group:{group}:log-stream:{stream}"


def _glue_resources(operation: str, data: Record) -> list[str]:
    if "Workflow" in operation:
        return [f"workflow/{data.get('Name', '*')}"]
    if "Job" in operation:
        return [f"job/{data.get('JobName') or data.get('Name') or '*'}"]
    if "Trigger" in operation:
        return [f"trigger/{data.get('Name', '*')}"]
    if "Connection" in operation:
        return ["catalog", f"connection/{data.get('Name') or data.get('ConnectionName') or '*'}"]
    if "Table" in operation or "Partition" in operation:
        database = data.get("DatabaseName", "*")
        table = data.get("TableName") or data.get("Name") or (data.get("TableInput") or {}).get("Name") or "*"
        return ["catalog", f"database/{database}", f"table/{database}/{table}"]
    if "Database" in operation:
        return ["catalog", f"database/{data.get('Name') or (data.get('DatabaseInput') or {}).get('Name') or '*'}"]
    return ["*"]


def _events(entries: list[Record], place: str) -> list[Check]:
    """Return one check per event: its bus, its source and its type decide."""
    found = []
    for entry in entries:
        bus = entry.get("EventBusName") or "default"
        resource = bus if bus.startswith("arn:") else f"arn:aws:events:{place}:event-bus/{bus}"
        found.append(Check(resource, {"events:source": entry.get("Source"), "events:detail-type": entry.get("DetailType")}))
    return found


def _namespace(body: bytes, parameters: dict[str, Any]) -> Any:
    """Return the namespace of metrics, from a body of JSON or a form."""
    given = parameters.get("Namespace") or _json(body).get("Namespace")
    return given[0] if isinstance(given, list) else given


def _json(body: bytes) -> Record:
    try:
        data = json.loads(body or b"{}")
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}
