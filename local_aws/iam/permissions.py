"""Extend ministack's evaluator of rights by what our templates need. It decides each call by the policies that were deployed.

AUTH=true switches it on (`local_aws.server`). A call that is signed with the key `test` is made by the root of the account, who may do
everything.
A job, the Slack function and an event rule act by their roles (`roles`).

There are three intended differences from AWS:

- `aws:SecureTransport` is always true. All traffic is on loopback without TLS; otherwise every bucket would refuse every call.
- The policies of buckets and keys are not asked for calls of the account's root.
- The KMS keys of S3 objects and of secrets are not asked; the key of a topic is.
"""

import functools
import json
import re
import threading
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape  # nosec B406: nothing is parsed

from ministack.core import iam_actions, iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.services import s3

from local_aws.api import Record
from local_aws.iam import requests
from local_aws.iam.requests import Check
from local_aws.seams import replace

_CHECKS = "local_aws:checks"  # a condition key of our own: it carries the checks of a call to `_enforce`
_denied_resource: ContextVar[str] = ContextVar("denied_resource", default="*")
_keys_to_delete: ContextVar[list[str]] = ContextVar("keys_to_delete")  # of a request that deletes many objects


class Denied(Exception):
    """The message is AWS's: who may not do what, on which resource, and why."""


def extend(uses: Path) -> None:
    """Replace ministack's rules. Each right that a role uses or lacks is written to the file `uses` once."""
    log = Uses(uses)
    replace(iam_evaluator, "_resolve_condition_key", _condition_key(iam_evaluator._resolve_condition_key))
    replace(iam_evaluator, "parse_policy_document", _parsed_once(iam_evaluator.parse_policy_document))
    replace(iam_evaluator, "evaluate", log.noting_use(iam_evaluator.evaluate))
    replace(iam_evaluator, "enforce", log.noting_denial(_enforce(iam_evaluator.enforce)))
    replace(iam_actions, "request_tag_context", _with_checks(iam_actions.request_tag_context))
    replace(iam_actions, "access_denied_response", _naming_the_resource(iam_actions.access_denied_response))


def place() -> str:
    """Return region and account of this request, as in an ARN."""
    return f"{get_region()}:{get_account_id()}"


def check(access_key: str, action: str, resource: str) -> None:
    """Raise Denied unless the holder of an access key may do this. Used where a service acts by a role without a request."""
    denied = iam_evaluator.enforce(access_key, action, action.partition(":")[0], get_region(), resource)
    if isinstance(denied, iam_evaluator.AuthError):
        raise Denied(denied.message)
    if denied:
        raise Denied(iam_actions.identity_denial_message(action, denied.principal_arn, resource, denied.decision == "Deny"))


def service_may(service: str, action: str, resource: str, policy: str | Record | None, source: str = "") -> bool:
    """Return whether a resource's policy lets a service of AWS do this on behalf of `source`, an ARN."""
    keys = {"aws:sourcearn": source or None, "aws:sourceaccount": get_account_id(), "aws:sourceowner": get_account_id()}
    context = iam_evaluator.EvalContext("*", "Service", "", action, resource, get_region(), service_context=keys)
    decision: str = iam_evaluator.evaluate_resource_policy(policy, context, service=service).decision
    return decision == "Allow"


class Uses:
    """A file with one JSON line for each right that a role has used, and for each that it lacked."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: set[str] = set()
        self._lock = threading.Lock()
        file.unlink(missing_ok=True)

    def noting_use(self, evaluate: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(evaluate)
        def evaluate_and_note(context: Any, policies: list[Any], *limits: Any) -> Any:
            result = evaluate(context, policies, *limits)
            if result.decision == "Allow" and context.principal_type == "AssumedRole":
                statements = [statement for policy in policies for statement in policy]
                by = iam_evaluator._first_match(context, statements, "Allow")
                pattern = next((one for one in by.resources if iam_evaluator.fnmatch_iam_cs(context.resource_arn, one)), "*")
                self._note(role_of(context.principal_arn), action=context.action, sid=by.sid, resource=pattern)
            return result

        return evaluate_and_note

    def noting_denial(self, enforce: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(enforce)
        def enforce_and_note(key: str, action: str, service: str, region: str, resource_arn: str = "*", service_context: Any = None) -> Any:
            denied = enforce(key, action, service, region, resource_arn, service_context)
            if isinstance(denied, iam_evaluator.EvalResult):
                self._note(role_of(denied.principal_arn), denied=action, resource=_denied_resource.get())
            return denied

        return enforce_and_note

    def _note(self, role: str, **what: str) -> None:
        line = json.dumps({"role": role, **what})
        with self._lock:
            if line not in self._known:
                self._known.add(line)
                with self._file.open("a", encoding="utf-8") as file:
                    file.write(line + "\n")


def role_of(principal: str) -> str:
    """Return the role's name if the ARN is that of a session, or else the ARN."""
    kind, _, rest = principal.rpartition(":")[2].partition("/")
    return rest.partition("/")[0] if kind == "assumed-role" else principal


def _condition_key(resolve: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    def resolve_key(key: str, context: Any) -> Any:
        name, is_service = key.lower(), context.principal_type == "Service"
        if name == "aws:securetransport":
            return "true"
        if name == "aws:principalisawsservice":
            return str(is_service).lower()
        if name == "aws:principalaccount" and is_service:
            return None
        return resolve(key, context)

    return resolve_key


def _parsed_once(parse: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Parse each policy once, not at every request."""
    cached = functools.lru_cache(maxsize=1000)(parse)
    return lambda doc: cached(doc) if isinstance(doc, str) else parse(doc)


def _with_checks(context_of: Callable[..., Record]) -> Callable[..., Record]:
    def context_with_checks(service: str, iam_action: str, body: bytes, params: Any) -> Record:
        is_batch = iam_action == "s3:DeleteObject" and "delete" in params
        _keys_to_delete.set(re.findall("<Key>(.*?)</Key>", body.decode()) if is_batch else [])
        found = requests.checks(iam_action, body, params, place())
        return {**context_of(service, iam_action, body, params), **({_CHECKS: found} if found else {})}

    return context_with_checks


def _enforce(enforce: Callable[..., Any]) -> Callable[..., Any]:
    """Run ministack's check for each resource of a call. As on S3, only a caller who may list a bucket learns that an object is missing."""

    def enforce_all(key: str, action: str, service: str, region: str, resource_arn: str = "*", service_context: Any = None) -> Any:
        keys = dict(service_context or {})
        needed: list[Check] = keys.pop(_CHECKS, None) or [Check(resource_arn)]
        for one in needed:
            denied = enforce(key, action, service, region, one.resource, {**keys, **one.keys})
            if denied:
                _denied_resource.set(one.resource)
                return denied
        if action == "s3:GetObject" and (bucket := _bucket_that_lacks(resource_arn)):
            denied = enforce(key, "s3:ListBucket", service, region, bucket, None)
            _denied_resource.set(bucket)
            return denied
        return None

    return enforce_all


def _bucket_that_lacks(object_arn: str) -> str | None:
    """Return the ARN of an object's bucket if the object does not exist."""
    bucket, _, key = object_arn.removeprefix("arn:aws:s3:::").partition("/")
    held = s3._buckets.get(bucket)
    return f"arn:aws:s3:::{bucket}" if held is not None and key not in held["objects"] else None


def _naming_the_resource(respond: Callable[..., Any]) -> Callable[..., Any]:
    """AWS names the resource in its refusals; ministack does for some services only. A refused deletion of many objects is an answer of
    200 that has an error for each object."""

    def respond_with_resource(service: str, action: str, principal_arn: str, request_id: str, **details: Any) -> Any:
        if not (details.get("message") or details.get("error_code") or details.get("resource_policy_arn")):
            resource = _denied_resource.get()
            message = iam_actions.identity_denial_message(action, principal_arn, resource, details.get("explicit_deny", False))
            details["message"] = message
            if keys := _keys_to_delete.get([]):
                errors = (f"<Error><Key>{key}</Key><Code>AccessDenied</Code><Message>{escape(message)}</Message></Error>" for key in keys)
                return 200, {"Content-Type": "application/xml"}, f"<DeleteResult>{''.join(errors)}</DeleteResult>".encode()
        return respond(service, action, principal_arn, request_id, **details)

    return respond_with_resource
