"""Say in words what changed between two contracts of a table. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from totesys.contracts import Column, Contract, Partition

_TOLD_APART = {"table", "version", "columns", "body"}  # the first two are in every heading


def changes(before: Contract, after: Contract) -> list[str]:
    """Return every difference except the version: first those of the table, then column by column."""
    own = [
        f"{field.name}: {_shown(getattr(before, field.name))} -> {_shown(getattr(after, field.name))}"
        for field in fields(Contract)
        if field.name not in _TOLD_APART and getattr(before, field.name) != getattr(after, field.name)
    ]
    old, new = ({column.name: column for column in contract.columns} for contract in (before, after))
    removed = [f"{name}: removed, was {_kind(column)}" for name, column in old.items() if name not in new]
    added = [f"{name}: added, {_kind(column)}" for name, column in new.items() if name not in old]
    changed = [text for name in old if name in new for text in _column_changes(old[name], new[name])]
    if [name for name in old if name in new] != [name for name in new if name in old]:
        changed.append("the columns have another order")
    return [*own, *removed, *added, *changed]


def _column_changes(before: Column, after: Column) -> Iterator[str]:
    for field in fields(Column):
        was, is_now = getattr(before, field.name), getattr(after, field.name)
        if was != is_now:
            yield f"{before.name}.{field.name}: {_shown(was)} -> {_shown(is_now)}"


def _kind(column: Column) -> str:
    return f"{column.type}, {'nullable' if column.nullable else 'not nullable'}"


def _shown(value: Any) -> str:
    if isinstance(value, Partition):
        return f"{value.name} {value.type}"
    if isinstance(value, (tuple, dict)):
        items = value if isinstance(value, tuple) else [f"{name}={one}" for name, one in value.items()]
        return ", ".join(items) or "none"
    return "none" if value is None else str(value)
