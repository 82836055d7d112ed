"""Glue's cron(), and which SCHEDULED triggers are due at a moment."""

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from local_aws.glue import cron
from local_aws.glue.scheduler import Scheduler, minutes_between


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("expression", "moment", "fires"),
    [
        ("cron(0/5 * * * ? *)", "2024-02-29 13:55", True),
        ("cron(0/5 * * * ? *)", "2024-02-29 13:56", False),
        ("cron(15 12 * * ? *)", "2024-02-29 12:15", True),
        ("cron(0 8-18/2 ? * MON-FRI *)", "2024-03-01 10:00", True),
        ("cron(0 8-18/2 ? * MON-FRI *)", "2024-03-01 11:00", False),
        ("cron(0 8-18/2 ? * MON-FRI *)", "2024-03-02 10:00", False),
        ("cron(0 0 ? * 1 *)", "2024-03-03 00:00", True),  # 1 is Sunday
        ("cron(0 0 1,15 JAN,jul ? 2024-2025)", "2024-07-15 00:00", True),
        ("cron(0 0 1,15 JAN,jul ? 2024-2025)", "2026-07-15 00:00", False),
    ],
)
def test_a_cron_fires_in_the_minutes_that_it_names(expression: str, moment: str, fires: bool) -> None:
    assert cron.parse(expression).matches(at(moment)) is fires


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("rate(5 minutes)", "not of the form"),
        ("cron(* * * * ?)", "5 fields"),
        ("cron(* * * * * *)", "exactly one"),
        ("cron(* * ? * ? *)", "exactly one"),
        ("cron(? * * * ? *)", "belongs in"),
        ("cron(60 * * * ? *)", "not within 0 to 59"),
        ("cron(0 * L * ? *)", "'L' is not a number"),
        ("cron(0/0 * * * ? *)", "not within"),
        ("cron(9-5 * * * ? *)", "not within"),
    ],
)
def test_a_cron_that_cannot_be_read_is_refused_with_its_reason(expression: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        cron.parse(expression)


def test_each_full_minute_counts_once_however_the_looks_fall() -> None:
    start = at("2024-01-01 00:00")
    looks = [start + timedelta(seconds=7 * n) for n in range(60)]
    seen = [minute for after, until in zip(looks, looks[1:], strict=False) for minute in minutes_between(after, until)]
    assert seen == [start + timedelta(minutes=n) for n in range(1, 7)]


def test_a_due_trigger_fires_once_a_minute_and_only_while_it_is_activated(monkeypatch: pytest.MonkeyPatch) -> None:
    triggers: dict[str, Any] = {
        "every": {"Name": "every", "Type": "SCHEDULED", "State": "ACTIVATED", "Schedule": "cron(* * * * ? *)"},
        "paused": {"Name": "paused", "Type": "SCHEDULED", "State": "DEACTIVATED", "Schedule": "cron(* * * * ? *)"},
        "by hand": {"Name": "by hand", "Type": "ON_DEMAND", "State": "CREATED"},
    }
    monkeypatch.setattr("local_aws.glue.scheduler.glue._triggers", triggers)
    now = at("2024-01-01 00:00:30")
    fired: list[str] = []
    scheduler = Scheduler(lambda trigger: fired.append(trigger["Name"]), lambda: None, lambda: now)
    for text in ("2024-01-01 00:00:59", "2024-01-01 00:01:00", "2024-01-01 00:01:30", "2024-01-01 00:02:01"):
        now = at(text)
        scheduler.look()
    assert fired == ["every", "every"]
