"""What a service of AWS delivers to another: allowed by the policy of what it reaches, and by that of the key that encrypts it.

Who sends learns nothing of a refusal, as on AWS: the event of a rule goes to the target's dead-letter queue, if that lets the rule in.
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
    """Put these rules in ministack's place. SNS asks the policies of queues by itself."""
    replace(cloudwatch, "_dispatch_alarm_actions", _by_topics_policy(cloudwatch._dispatch_alarm_actions))
    replace(sns, "_deliver_to_lambda", _by_functions_policy(sns._deliver_to_lambda))
    replace(lambda_svc, "_emit_lambda_logs", _by_functions_role(lambda_svc._emit_lambda_logs))
    for module in (lambda_svc, lambda_runtime):
        replace(module, "execution_credentials", _role_of_function)


def rule_may(target: Record, rule: Record) -> bool:
    """Whether a rule may deliver to its target: by the target's role if it is a workflow, else by the policy of what the target is."""
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
    """A target in the place of one that refused, if there is one that does not."""
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
    """Whether a service may use a key by the key's own policy; the keys that AWS manages let no service in."""
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
    """Without the right to write its log, a function runs and leaves none."""

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
