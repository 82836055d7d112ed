"""Glue triggers: which ones may be created, which states they have, and when a condition is met.

The refusals of StartTrigger and StopTrigger are the service's own words, as terraform-provider-aws reports them (pull request 49408).
"""

from collections.abc import Callable, Mapping

from ministack.services import glue

from local_aws.api import Action, Record, already_exists, invalid, not_found
from local_aws.glue import cron

STARTING_TYPES = frozenset({"ON_DEMAND", "SCHEDULED", "EVENT"})
_ACTIVATED_TYPES = frozenset({"SCHEDULED", "CONDITIONAL"})  # an EVENT trigger is always in state CREATED, and fires in that state
_SETTINGS = ("Description", "Schedule", "Predicate", "Actions", "EventBatchingCondition")
_STATES = frozenset({"SUCCEEDED", "FAILED", "STOPPED", "TIMEOUT"})


class Triggers:
    """The API's actions on triggers. `fire` is called with an ON_DEMAND trigger that is started."""

    def __init__(self, fire: Callable[[Record], None]) -> None:
        self._fire = fire

    def actions(self) -> dict[str, Action]:
        return {
            "CreateTrigger": self._create,
            "UpdateTrigger": self._update,
            "StartTrigger": self._start,
            "StopTrigger": self._stop,
        }

    def _create(self, data: Record) -> Record:
        name = data.get("Name")
        if not name:
            raise invalid("Name is required")
        if name in glue._triggers:
            raise already_exists(f"Trigger {name} already exists")
        kept = ("Name", "Type", "WorkflowName", *_SETTINGS)
        trigger = {"Actions": [], **{key: data[key] for key in kept if data.get(key)}, "State": "CREATED"}
        if data.get("StartOnCreation"):
            if data.get("Type") not in _ACTIVATED_TYPES:
                raise invalid(f"Trigger {name} is {data.get('Type')}: StartOnCreation is for SCHEDULED and CONDITIONAL triggers")
            trigger["State"] = "ACTIVATED"
        _validate(trigger)
        glue._triggers[name] = trigger
        if data.get("Tags"):
            glue._tags[glue._arn("trigger", name)] = dict(data["Tags"])
        return {"Name": name}

    def _update(self, data: Record) -> Record:
        trigger = _trigger(data["Name"])
        changed = {**trigger, **{key: data["TriggerUpdate"][key] for key in _SETTINGS if key in data["TriggerUpdate"]}}
        _validate(changed)
        trigger.update(changed)
        return {"Trigger": trigger}

    def _start(self, data: Record) -> Record:
        trigger = _trigger(data["Name"])
        if trigger["Type"] == "ON_DEMAND":
            self._fire(trigger)
        elif trigger["Type"] not in _ACTIVATED_TYPES:
            raise invalid(f"Trigger Type {trigger['Type']} cannot be started")
        else:
            trigger["State"] = "ACTIVATED"
        return {"Name": trigger["Name"]}

    def _stop(self, data: Record) -> Record:
        trigger = _trigger(data["Name"])
        if trigger["State"] == "CREATED":
            raise invalid("The operation is not allowed when trigger is in state: CREATED")
        trigger["State"] = "DEACTIVATED"
        return {"Name": trigger["Name"]}


def of_workflow(name: str) -> list[Record]:
    return [trigger for trigger in glue._triggers.values() if trigger.get("WorkflowName") == name]


def start_trigger(workflow: str) -> Record | None:
    return next((trigger for trigger in of_workflow(workflow) if trigger["Type"] in STARTING_TYPES), None)


def is_met(predicate: Record, job_states: Mapping[str, str]) -> bool:
    """Return whether the last states of the jobs in this workflow run satisfy the predicate."""
    held = [job_states.get(condition["JobName"]) == condition["State"] for condition in predicate["Conditions"]]
    return any(held) if predicate.get("Logical") == "ANY" else all(held)


def _trigger(name: str) -> Record:
    if name not in glue._triggers:
        raise not_found(f"Trigger {name} not found")
    return glue._triggers[name]


def _validate(trigger: Record) -> None:
    """Refuse what Glue refuses. cfn-lint accepts some of it."""
    name, kind, workflow = trigger["Name"], trigger.get("Type"), trigger.get("WorkflowName")
    if kind not in STARTING_TYPES | {"CONDITIONAL"}:
        raise invalid(f"Trigger {name}: Type must be ON_DEMAND, SCHEDULED, EVENT or CONDITIONAL, not {kind}")
    if workflow and workflow not in glue._workflows:
        raise not_found(f"Workflow {workflow} of trigger {name} not found")
    if kind == "SCHEDULED":
        try:
            cron.parse(trigger.get("Schedule", ""))
        except ValueError as error:
            raise invalid(f"Trigger {name}: {error}") from error
    if kind in ("EVENT", "CONDITIONAL") and not workflow:
        raise invalid(f"Trigger {name}: an {kind} trigger must belong to a workflow")
    if kind == "CONDITIONAL":
        _validate_predicate(name, trigger.get("Predicate") or {})
    elif workflow:
        other = start_trigger(workflow)
        if other and other["Name"] != name:
            raise invalid(f"Workflow {workflow} already has the start trigger {other['Name']}, and may have only one")


def _validate_predicate(name: str, predicate: Record) -> None:
    conditions = predicate.get("Conditions") or []
    if not conditions:
        raise invalid(f"Trigger {name}: Predicate.Conditions is required")
    if predicate.get("Logical") not in ("AND", "ANY"):
        raise invalid(f"Trigger {name}: Predicate.Logical must be AND or ANY")
    for condition in conditions:
        if condition.get("LogicalOperator") != "EQUALS":
            raise invalid(f"Trigger {name}: LogicalOperator must be EQUALS in each condition")
        if not condition.get("JobName") or condition.get("State") not in _STATES:
            raise invalid(f"Trigger {name}: each condition needs a JobName and a State out of {', '.join(sorted(_STATES))}")
