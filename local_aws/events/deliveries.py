"""Deliveries from one service of AWS to another. The policies of the target and of its encryption key decide.

As on AWS, the sender is not told about a refusal. A rule's event then goes to the target's dead-letter queue, if the queue accepts it.
"""

import logging
from collections.abc import Callable
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import cloudwatch, kms, lambda_svc, sns, sqs

from local_aws.api import Record
from local_aws.iam.permissions import Denied, place, service_may
from local_aws.iam.requests import log_resource
from local_aws.iam.roles import NotAssumed, assume
from local_aws.seams import replace

log = logging.getLogger(__name__)

_EVENTS, _ALARMS, _TOPICS = "events.amazonaws.com", "cloudwatch.amazonaws.com", "sns.amazonaws.com"


def extend() -> None:
    """Replace ministack's deliveries. Its SNS checks the policies of queues already."""
    replace(cloudwatch, "_dispatch_alarm_actions", _by_topics_policy(cloudwatch._dispatch_alarm_actions))
    replace(sns, "_deliver_to_lambda", _by_functions_policy(sns._deliver_to_lambda))
    replace(lambda_svc, "_emit_lambda_logs", _by_functions_role(lambda_svc._emit_lambda_logs))
    for module in (lambda_svc, lambda_runtime):
        replace(module, "execution_credentials", _role_of_function)


def rule_may(target: Record, rule: Record) -> bool:
    """Return whether a rule may deliver to its target. For a workflow the target's role decides, otherwise the target's policy."""
    arn = target["Arn"]
    service = arn.split(":")[2]
    if service == "glue":
        return _role_may(target)
    if service == "sns":
        return _may_publish(_EVENTS, arn, rule["Arn"])
    if service == "sqs":
        return bool(sqs.queue_policy_allows(arn, _EVENTS, rule["Arn"], rule["Arn"].split(":")[4]))
    if service == "lambda":
        return _may_invoke(_EVENTS, arn, rule["Arn"])
    return True


def dead_letter_of(target: Record, rule: Record) -> Record | None:
    """Return the dead-letter queue of a target that refused, as a target, if the queue accepts the event."""
    queue = (target.get("DeadLetterConfig") or {}).get("Arn")
    if not queue or not rule_may({"Arn": queue}, rule):
        return None
    return {"Id": "dead-letter", "Arn": queue}


def _role_may(target: Record) -> bool:
    try:
        assume(target.get("RoleArn", ""), _EVENTS, "EventBridge").check("glue:notifyEvent", target["Arn"])
    except (Denied, NotAssumed) as error:
        log.warning("The event for %s is dropped: %s", target["Arn"], error)
        return False
    return True


def _may_publish(service: str, topic: str, source: str) -> bool:
    held = sns.topic_policy_for_arn(topic)
    if held is None or not service_may(service, "sns:Publish", topic, held[0], source):
        return False
    key = sns._topic_by_arn_any_scope(topic)["attributes"].get("KmsMasterKeyId")
    return not key or _may_use(service, key)


def _may_use(service: str, key: str) -> bool:
    """Return whether a key's policy lets a service use the key. Keys that AWS manages let no service in."""
    arn = key if key.startswith("arn:") else f"arn:aws:kms:{place()}:key/{key}"
    held = kms.key_policy_for_arn(arn)
    return held is not None and all(service_may(service, action, arn, held[0]) for action in ("kms:GenerateDataKey", "kms:Decrypt"))


def _may_invoke(service: str, function: str, source: str) -> bool:
    held = lambda_svc.function_policy_for_arn(function)
    return held is not None and service_may(service, "lambda:InvokeFunction", function, held[0], source)


def _by_topics_policy(dispatch: Callable[..., None]) -> Callable[..., None]:
    def dispatch_allowed(alarm: Record, old_state: str, new_state: str, reason: str) -> None:
        allowed = dict(alarm)
        for actions in ("AlarmActions", "OKActions", "InsufficientDataActions"):
            allowed[actions] = [topic for topic in alarm.get(actions) or [] if _may_publish(_ALARMS, topic, alarm["AlarmArn"])]
        dispatch(allowed, old_state, new_state, reason)

    return dispatch_allowed


def _by_functions_policy(deliver: Callable[..., None]) -> Callable[..., None]:
    def deliver_allowed(endpoint: str, envelope: str, topic_arn: str, *rest: Any) -> None:
        if _may_invoke(_TOPICS, endpoint, topic_arn):
            deliver(endpoint, envelope, topic_arn, *rest)
        else:
            log.warning("The message of %s is not delivered: the policy of %s does not let the topic invoke it", topic_arn, endpoint)

    return deliver_allowed


def _role_of_function(config: Record) -> dict[str, str]:
    return assume(config["Role"], "lambda.amazonaws.com", config["FunctionName"]).environment


def _by_functions_role(emit: Callable[..., None]) -> Callable[..., None]:
    """Write no log for a function that has no right to write one. The function runs all the same."""

    def emit_allowed(func: Record, *details: Any, **options: Any) -> None:
        config = func.get("config") or func
        try:
            role = assume(config["Role"], "lambda.amazonaws.com", config["FunctionName"])
            for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
                role.check(action, log_resource(place(), f"/aws/lambda/{config['FunctionName']}", "new"))
        except (Denied, NotAssumed) as error:
            log.warning("Function %s leaves no log: %s", config["FunctionName"], error)
        else:
            emit(func, *details, **options)

    return emit_allowed
