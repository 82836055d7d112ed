"""Fires ACTIVATED triggers of type SCHEDULED, once for each minute of their cron(), and evaluates alarms every minute."""

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from ministack.services import glue

from local_aws.api import LOCK, AwsError, Record
from local_aws.glue import cron

_LOOK_EVERY = 0.25  # seconds
_log = logging.getLogger(__name__)


def minutes_between(after: datetime, until: datetime) -> list[datetime]:
    """Return the full minutes in (after, until]."""
    minute = after.replace(second=0, microsecond=0) + timedelta(minutes=1)
    found = []
    while minute <= until:
        found.append(minute)
        minute += timedelta(minutes=1)
    return found


class Scheduler:
    """`clock` returns the time in UTC, `fire` fires a trigger, and `every_minute` is called once however many minutes have passed."""

    def __init__(self, fire: Callable[[Record], None], every_minute: Callable[[], None], clock: Callable[[], datetime]) -> None:
        self._fire = fire
        self._every_minute = every_minute
        self._clock = clock
        self._looked_at = clock()
        self._stopped = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._loop, name="scheduler", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def look(self) -> None:
        """Fire the triggers that have become due since the last call."""
        now = self._clock()
        minutes = minutes_between(self._looked_at, now)
        self._looked_at = now
        for minute in minutes:
            with LOCK:
                for trigger in glue._triggers.values():
                    if _is_due(trigger, minute):
                        self._fire_one(trigger)
        if minutes:
            self._every_minute()

    def _fire_one(self, trigger: Record) -> None:
        try:
            self._fire(trigger)
        except AwsError as refusal:
            _log.warning("trigger %s did not start its jobs: %s", trigger["Name"], refusal)

    def _loop(self) -> None:
        while not self._stopped.wait(_LOOK_EVERY):
            self.look()


def _is_due(trigger: Record, minute: datetime) -> bool:
    return trigger["Type"] == "SCHEDULED" and trigger["State"] == "ACTIVATED" and cron.parse(trigger["Schedule"]).matches(minute)
