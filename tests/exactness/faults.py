"""One fault at one call: what the proxies before AWS and the two databases share.

All calls of a job stand in one list, whichever way they go, so that a process can die at any of them and take all its connections along.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum


class Effect(Enum):
    """What becomes of a call, and of those after it."""

    REFUSED = "refused"  # neither it nor any later call gets through: the process died before it
    ANSWER_LOST = "answer lost"  # it is done, but nobody hears of it, and no later call gets through: the process died right after
    ANSWER_LOST_ONCE = "answer lost once"  # it is done, but nobody hears of it; all else works
    UNAVAILABLE_ONCE = "unavailable once"  # AWS answers 503 SlowDown, and takes the next try
    UNAVAILABLE = "unavailable"  # AWS answers 503 SlowDown to it and to all later calls


DEADLY = frozenset({Effect.REFUSED, Effect.ANSWER_LOST})


@dataclass(frozen=True)
class Fault:
    """The effect upon one call, told by its name and by how often the name has come: that holds whatever order threads choose.

    `strike` is called as the call comes, before anything becomes of it; without an effect the call then takes its course.
    """

    call: str
    occurrence: int
    effect: Effect | None
    strike: Callable[[], None] | None = None


class Calls:
    """The calls of a run as they come, and the armed fault. `on_death` are told when no call gets through any more; `has_fired` says
    whether the last fault has."""

    def __init__(self) -> None:
        self.on_death: list[Callable[[], None]] = []
        self.has_fired = False
        self._seen: list[str] = []
        self._counts: Counter[str] = Counter()
        self._armed: Fault | None = None
        self._lasting: Effect | None = None
        self._lock = threading.Lock()

    def arm(self, fault: Fault | None) -> None:
        """Begins a new list; with none, everything gets through again."""
        with self._lock:
            self._armed, self._lasting = fault, None
            self._seen, self._counts = [], Counter()
            if fault:
                self.has_fired = False

    @contextmanager
    def armed(self, fault: Fault) -> Iterator[None]:
        """A fault for as long as the context lasts."""
        self.arm(fault)
        try:
            yield
        finally:
            self.arm(None)

    @property
    def seen(self) -> list[str]:
        """The calls since the last arming, without those that were refused after the fault."""
        with self._lock:
            return list(self._seen)

    @property
    def is_dead(self) -> bool:
        """Whether no call gets through."""
        return self._lasting is Effect.REFUSED

    def meet(self, name: str) -> Effect | None:
        """What becomes of a call that has come; None lets it through. After ANSWER_LOST the caller says `die` when the call is done."""
        with self._lock:
            if self._lasting:
                return self._lasting
            self._seen.append(name)
            self._counts[name] += 1
            fault = self._armed
            if fault is None or self.has_fired or (fault.call, fault.occurrence) != (name, self._counts[name]):
                return None
            self.has_fired = True
            if fault.effect is Effect.UNAVAILABLE:
                self._lasting = fault.effect
        if fault.strike:
            fault.strike()
        if fault.effect is Effect.REFUSED:
            self.die()
        return fault.effect

    def die(self) -> None:
        """From now on, until the next arming, no call gets through, and open connections end."""
        self._lasting = Effect.REFUSED
        for end in self.on_death:
            end()
