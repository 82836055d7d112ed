"""Glue's cron(): six fields, in UTC, to the minute.

https://docs.aws.amazon.com/glue/latest/dg/monitor-data-warehouse-schedule.html
"""

import re
from dataclasses import dataclass
from datetime import datetime

_MONTHS = {"JAN": 1, "FEB": 2, "MAR": 3, "APR": 4, "MAY": 5, "JUN": 6, "JUL": 7, "AUG": 8, "SEP": 9, "OCT": 10, "NOV": 11, "DEC": 12}
_WEEKDAYS = {"SUN": 1, "MON": 2, "TUE": 3, "WED": 4, "THU": 5, "FRI": 6, "SAT": 7}
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minutes", 0, 59, {}),
    ("hours", 0, 23, {}),
    ("day of month", 1, 31, {}),
    ("month", 1, 12, _MONTHS),
    ("day of week", 1, 7, _WEEKDAYS),
    ("year", 1970, 2199, {}),
)


@dataclass(frozen=True)
class Cron:
    """The values that each field allows. None stands for `?`, which leaves the day open."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int] | None
    months: frozenset[int]
    weekdays: frozenset[int] | None
    years: frozenset[int]

    def matches(self, moment: datetime) -> bool:
        """Return whether the expression fires in this minute. `moment` is in UTC."""
        weekday = moment.isoweekday() % 7 + 1
        return (
            moment.minute in self.minutes
            and moment.hour in self.hours
            and moment.month in self.months
            and moment.year in self.years
            and (self.days is None or moment.day in self.days)
            and (self.weekdays is None or weekday in self.weekdays)
        )


def parse(expression: str) -> Cron:
    """Read `cron(minutes hours day-of-month month day-of-week year)`.

    Raises ValueError, with what is wrong, for anything else; `L`, `W` and `#` are not supported here.
    """
    inside = re.fullmatch(r"cron\((.*)\)", expression.strip())
    if not inside:
        raise ValueError(f"{expression!r} is not of the form cron(...)")
    parts = inside.group(1).split()
    if len(parts) != len(_FIELDS):
        raise ValueError(f"{expression!r} has {len(parts)} fields, not {len(_FIELDS)}: minutes hours day-of-month month day-of-week year")
    minutes, hours, days, months, weekdays, years = (_field(part, *spec) for part, spec in zip(parts, _FIELDS, strict=True))
    if (days is None) == (weekdays is None):
        raise ValueError(f"{expression!r}: exactly one of day-of-month and day-of-week must be '?'")
    if minutes is None or hours is None or months is None or years is None:
        raise ValueError(f"{expression!r}: '?' belongs in day-of-month or day-of-week only")
    return Cron(minutes, hours, days, months, weekdays, years)


def _field(text: str, name: str, low: int, high: int, names: dict[str, int]) -> frozenset[int] | None:
    if text == "?":
        return None
    values: set[int] = set()
    for item in text.upper().split(","):
        span, _, step = item.partition("/")
        start, _, end = span.partition("-")
        try:
            if start == "*":
                first, last = low, high
            else:
                first = names.get(start) or int(start)
                last = names.get(end) or int(end) if end else high if step else first
            stride = int(step) if step else 1
        except ValueError as error:
            raise ValueError(f"{name} {text!r}: {item!r} is not a number, a range or a step") from error
        if not low <= first <= last <= high or stride < 1:
            raise ValueError(f"{name} {text!r} is not within {low} to {high}")
        values.update(range(first, last + 1, stride))
    return frozenset(values)
