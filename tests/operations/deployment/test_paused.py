"""A deploy respects a pause: the schedule stays stopped, whatever the update of the stack does to its trigger."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from operations.deployment.proof import prove_stack
from operations.deployment.templates import Template
from operations.workflows.trigger import is_paused
from tests.support.stack import PROJECT, DeployedStack

SCHEDULE, OTHER = f"{PROJECT}-ingest-start", f"{PROJECT}-publish-load"


def state(stack: DeployedStack, trigger: str) -> str:
    return str(stack.aws.glue.get_trigger(Name=trigger)["Trigger"]["State"])


@pytest.fixture
def paused(stack: DeployedStack) -> Iterator[DeployedStack]:
    """The stack with its schedule stopped; and another trigger, which no pause has stopped."""
    for trigger in (SCHEDULE, OTHER):
        stack.aws.glue.stop_trigger(Name=trigger)
    yield stack
    for trigger in (SCHEDULE, OTHER):
        stack.aws.glue.start_trigger(Name=trigger)


def test_a_deploy_leaves_a_paused_schedule_paused_and_says_how_to_resume(paused: DeployedStack) -> None:
    deployed = paused.deploy()
    assert deployed.returncode == 0, deployed.stderr
    assert "triggers activated; paused: scripts/totesys resume restarts the schedule" in deployed.stdout
    assert (state(paused, SCHEDULE), state(paused, OTHER)) == ("DEACTIVATED", "ACTIVATED")


def test_a_schedule_that_an_update_has_started_is_paused_again(stack: DeployedStack) -> None:
    try:
        prove_stack(stack.aws.client, f"{PROJECT}-workflows", Template.read("workflows"), paused={SCHEDULE})
        assert state(stack, SCHEDULE) == "DEACTIVATED"
    finally:
        stack.aws.glue.start_trigger(Name=SCHEDULE)


def test_a_project_that_is_not_there_yet_is_not_paused(stack: DeployedStack) -> None:
    assert not is_paused(stack.aws.glue, "elsewhere")
