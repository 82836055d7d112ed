"""Saved queries of CloudWatch Logs Insights. Templates create them, and they can be listed but not run."""

import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from ministack.core.responses import json_response

from local_aws.api import Record, Response

RESOURCE_TYPE = "AWS::Logs::QueryDefinition"
_definitions: dict[str, Record] = {}


def handlers() -> dict[str, Callable[..., Any]]:
    """Return the handlers by which ministack's CloudFormation creates, updates and deletes a query."""
    return {"create": _create, "update": _update, "delete": lambda query_id, properties: _definitions.pop(query_id, None)}


def with_query_definitions(handle_request: Callable[..., Awaitable[Response]]) -> Callable[..., Awaitable[Response]]:
    """Extend CloudWatch Logs by DescribeQueryDefinitions."""

    async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query_params: dict[str, list[str]]) -> Response:
        if headers.get("x-amz-target", "").endswith(".DescribeQueryDefinitions"):
            prefix = json.loads(body or b"{}").get("queryDefinitionNamePrefix", "")
            found = [definition for definition in _definitions.values() if definition["name"].startswith(prefix)]
            answer: Response = json_response({"queryDefinitions": found})
            return answer
        return await handle_request(method, path, headers, body, query_params)

    return handle


def _create(logical_id: str, properties: Record, stack_name: str) -> tuple[str, Record]:
    return _put(str(uuid4()), properties)


def _update(query_id: str, old: Record, new: Record, stack_name: str) -> tuple[str, Record]:
    return _put(query_id, new)


def _put(query_id: str, properties: Record) -> tuple[str, Record]:
    _definitions[query_id] = {
        "queryDefinitionId": query_id,
        "name": properties["Name"],
        "queryString": properties["QueryString"],
        "logGroupNames": properties.get("LogGroupNames", []),
    }
    return query_id, {"QueryDefinitionId": query_id}
