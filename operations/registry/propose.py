"""Draft the next contract of a source table from the live source. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from copy import deepcopy
from typing import Any

from totesys.contracts import TAKEN_NAMES
from totesys.contracts.checks import is_name
from totesys.contracts.types import lake_type, widens
from totesys.ingest.drift import LiveColumn, LiveTable

_DAYS = re.compile(r"text|date|character.*")  # types of the source whose text can be a date as YYYY-MM-DD


def propose(body: dict[str, Any], live: LiveTable, version: int) -> tuple[dict[str, Any], list[str], list[str]]:
    """Return the contract's JSON for the live table, with this version; notes on what changed; and notes on new columns that were left
    out because a contract cannot have their names, with what to do.
    """
    notes: list[str] = []
    left_out: list[str] = []
    columns = []
    for column in body["columns"]:
        found = live.columns.get(column["name"])
        if found is None:
            notes.append(f"{column['name']}: not at the source any more, so left out; scripts/deploy.sh refuses that until it is accepted")
        else:
            columns.append(_brought_up(column, found, notes))
    known = {column["name"] for column in body["columns"]}
    for name, found in live.columns.items():
        if name not in known and (fault := _name_fault(name, known)):
            left_out.append(f"{name}: left out, since {fault}. To bring it in, give it another name at the source")
        elif name not in known:
            columns.append(_new(name, found))
            notes.append(f"{name}: added as {columns[-1]['type']} from {found.type}; write its description")
    return {**deepcopy(body), "version": version, "columns": columns}, notes, left_out


def _name_fault(name: str, known: Collection[str]) -> str | None:
    """Return why no contract can have a column of this name; None when a contract can."""
    if name.lower() in TAKEN_NAMES:
        return f"the pipeline uses the name itself ({', '.join(sorted(TAKEN_NAMES))})"
    if name.lower() in known:
        return f"{name.lower()} is in the contract, and the lake does not tell names apart by case"
    if not is_name(name):
        return "its name has other characters than lower-case letters, digits and underscores, or no letter first"
    return None


def _new(name: str, found: LiveColumn) -> dict[str, Any]:
    column = {
        "name": name, "type": lake_type(found.type), "source_type": found.type, "nullable": True, "description": f"TODO: what {name} is.",
    }  # fmt: skip
    return {**column, "values": list(found.labels)} if found.labels else column


def _brought_up(column: dict[str, Any], found: LiveColumn, notes: list[str]) -> dict[str, Any]:
    """Return a known column with the source's type, labels and nulls.

    Its type in the lake stays if it can hold the new values. A text column can: it takes the text of any value.
    """
    changed = dict(column)
    if found.type != column["source_type"]:
        type_ = lake_type(found.type)
        is_text = column["type"] == "string" and ("format" not in column or _DAYS.fullmatch(found.type))
        stays = is_text or widens(type_, column["type"])
        changed.update(type=column["type"] if stays else type_, source_type=found.type)
        lake = "" if stays else f"; in the lake {column['type']} becomes {type_}"
        if not stays and not widens(column["type"], type_):
            lake += ", which scripts/deploy.sh refuses until a person accepts it. A new column beside it keeps history"
        elif not stays:
            lake += "; also widen the columns in catalog/warehouse that are made from it"
        notes.append(f"{column['name']}: {column['source_type']} became {found.type}{lake}")
    if not found.not_null and not column["nullable"]:
        changed["nullable"] = True
        notes.append(f"{column['name']}: nulls are allowed now")
    if found.labels and list(found.labels) != column.get("values"):
        changed["values"] = list(found.labels)
        notes.append(f"{column['name']}: the labels are {', '.join(found.labels)} now")
    return changed
