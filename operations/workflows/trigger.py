"""Start and stop Glue triggers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from totesys.errors import FatalError

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient

PAUSED = "paused: scripts/totesys resume restarts the schedule"
_POLL, _LONGEST = 0.5, 60.0  # seconds
_AT_REST = ("CREATED", "ACTIVATED", "DEACTIVATED")  # the other states end by themselves


def schedule_trigger(project: str) -> str:
    """Return the name of the trigger that starts ingest by the clock."""
    return f"{project}-ingest-start"


def is_paused(glue: GlueClient, project: str) -> bool:
    """Whether somebody has stopped the schedule. False before the first deploy."""
    try:
        return _state(glue, schedule_trigger(project)) in ("DEACTIVATING", "DEACTIVATED")
    except glue.exceptions.EntityNotFoundException:
        return False


def activate(glue: GlueClient, name: str) -> bool:
    """Start a trigger and wait until it is ACTIVATED. Return whether its state changed. FatalError when it does not become ACTIVATED.

    An EVENT trigger is left alone: its only state is CREATED, in which it fires, and the service refuses to start it.
    """
    if glue.get_trigger(Name=name)["Trigger"]["Type"] == "EVENT":
        return False
    return _bring_to("ACTIVATED", glue.start_trigger, glue, name)


def deactivate(glue: GlueClient, name: str) -> bool:
    """Stop a trigger and wait until it is DEACTIVATED. Return whether its state changed. FatalError when it does not become DEACTIVATED."""
    if _state(glue, name) == "CREATED":  # the service refuses to stop a trigger that was never started
        activate(glue, name)
    return _bring_to("DEACTIVATED", glue.stop_trigger, glue, name)


def _bring_to(wanted: str, ask: Callable[..., object], glue: GlueClient, name: str) -> bool:
    deadline = time.monotonic() + _LONGEST
    has_changed = has_asked = False
    while (state := _state(glue, name)) != wanted:
        has_changed = True
        if time.monotonic() > deadline:
            raise FatalError(f"trigger {name} is {state} and does not become {wanted}: correct that in the Glue console")
        if state in _AT_REST and not has_asked:
            ask(Name=name)
            has_asked = True
            continue
        time.sleep(_POLL)
    return has_changed


def _state(glue: GlueClient, name: str) -> str:
    state: str = glue.get_trigger(Name=name)["Trigger"]["State"]
    return state
