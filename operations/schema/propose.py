"""The next contract of a source table, drafted from what the source has. Pure."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any

from totesys.ingest.structure import LiveColumn, LiveTable

_TYPES = {"smallint": "int", "integer": "int", "bigint": "bigint", "boolean": "boolean", "date": "date"}
_MOST_DIGITS = 38  # of a decimal in the lake


def propose(body: dict[str, Any], live: LiveTable, version: int) -> tuple[dict[str, Any], list[str]]:
    """The contract's JSON brought up to the live table, with that version; and what was changed, in words: nothing when all agrees."""
    notes: list[str] = []
    columns = []
    for column in body["columns"]:
        found = live.columns.get(column["name"])
        if found is None:
            notes.append(f"{column['name']}: not at the source any more, so left out; scripts/deploy.sh refuses that until it is accepted")
        else:
            columns.append(_brought_up(column, found, notes))
    known = {column["name"] for column in body["columns"]}
    for name, found in live.columns.items():
        if name not in known:
            columns.append(_new(name, found))
            notes.append(f"{name}: added as {columns[-1]['type']} from {found.type}; write its description")
    return {**deepcopy(body), "version": version, "columns": columns}, notes


def glue_type(source_type: str) -> str:
    """The lake's type for a type as PostgreSQL's format_type names it; text holds what the lake has no type for."""
    if re.fullmatch(r"timestamp(\(\d\))? without time zone", source_type):
        return "timestamp"
    number = re.fullmatch(r"numeric\((\d+),(\d+)\)", source_type)
    if number and int(number[2]) <= int(number[1]) <= _MOST_DIGITS:
        return f"decimal({number[1]},{number[2]})"
    return _TYPES.get(source_type, "string")


def _new(name: str, found: LiveColumn) -> dict[str, Any]:
    column = {
        "name": name, "type": glue_type(found.type), "source_type": found.type, "nullable": True, "description": f"TODO: what {name} is.",
    }  # fmt: skip
    return {**column, "values": list(found.labels)} if found.labels else column


def _brought_up(column: dict[str, Any], found: LiveColumn, notes: list[str]) -> dict[str, Any]:
    """A known column with the source's type, labels and nulls."""
    changed = dict(column)
    if found.type != column["source_type"]:
        changed.update(type=glue_type(found.type), source_type=found.type)
        lake = "" if changed["type"] == column["type"] else f"; in the lake {column['type']} becomes {changed['type']}"
        notes.append(f"{column['name']}: {column['source_type']} became {found.type}{lake}")
    if not found.not_null and not column["nullable"]:
        changed["nullable"] = True
        notes.append(f"{column['name']}: nulls are allowed now")
    if found.labels and list(found.labels) != column.get("values"):
        changed["values"] = list(found.labels)
        notes.append(f"{column['name']}: the labels are {', '.join(found.labels)} now")
    return changed
