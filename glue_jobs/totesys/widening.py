"""Which types are wider than which: a column may change to a wider type without losing a value."""

from __future__ import annotations

import re

_INTEGERS = (("smallint",), ("int", "integer"), ("bigint",))  # from narrow to wide, each with its names in the lake and in PostgreSQL
_DECIMAL = re.compile(r"(?:decimal|numeric)\((\d+),(\d+)\)")


def widens(before: str, after: str) -> bool:
    """Whether `after` is the same type as `before`, a wider integer, or a decimal of the same scale with more digits."""
    if before == after:
        return True
    ranks = [rank for type_ in (before, after) for rank, names in enumerate(_INTEGERS) if type_ in names]
    if len(ranks) == 2:
        return ranks[0] <= ranks[1]
    digits = _DECIMAL.fullmatch(before), _DECIMAL.fullmatch(after)
    if not (digits[0] and digits[1]):
        return False
    return digits[0][2] == digits[1][2] and int(digits[0][1]) <= int(digits[1][1])


def is_number(type_: str) -> bool:
    """Whether the type is an integer or a decimal: the types that `widens` compares."""
    return any(type_ in names for names in _INTEGERS) or bool(_DECIMAL.fullmatch(type_))
