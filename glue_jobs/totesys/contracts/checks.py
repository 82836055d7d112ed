"""Check that the jobs can use a contract's JSON: known keys, known types, and no names that the pipeline uses itself.

catalog/contract.schema.json checks more. Only the commands that write and register contracts apply it: jsonschema ships with no job.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from totesys.contracts.types import is_lake_type, is_warehouse_type
from totesys.errors import FatalError

_KINDS = ("source", "dimension", "fact")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def is_name(name: Any) -> bool:
    """Whether a column can have this name everywhere: in PostgreSQL, Spark and the Data Catalog, which keeps no capital letters."""
    return isinstance(name, str) and bool(_NAME.fullmatch(name))


def check_contract(
    body: Mapping[str, Any], taken: Collection[str], table_keys: Mapping[str, bool], column_keys: Mapping[str, bool]
) -> None:
    """Raise FatalError for the first fault. The error names the table, and the column if a column is at fault.

    `taken` are the names that no column may have. `table_keys` and `column_keys` are the known keys, and whether each is required.
    """
    table = body.get("table") if isinstance(body, Mapping) else None
    if not is_name(table):
        raise FatalError(
            "a contract has no valid table name: name a table, in lower-case letters, digits and underscores, with a letter first"
        )
    for place, fault in (*_of_table(body, table_keys), *_of_columns(body, taken, column_keys)):
        raise FatalError(f"the contract of {table} cannot be used: {place} {fault}. Correct the contract in catalog/, and deploy it")


def _of_table(body: Mapping[str, Any], keys: Mapping[str, bool]) -> Iterator[tuple[str, str]]:
    yield from _keys("the table", body, keys)
    if body.get("kind") not in _KINDS:
        yield "kind", f"must be one of {', '.join(_KINDS)}"
    for name, least in (("version", 0), ("range_size", 1)):
        number = body.get(name, 1)
        if not isinstance(number, int) or isinstance(number, bool) or number < least:
            yield name, f"must be a whole number of at least {least}"
    columns = body.get("columns")
    if not isinstance(columns, list) or not columns or not all(isinstance(column, dict) for column in columns):
        yield "columns", "must be a list of one or more columns"
        return
    names = [column.get("name") for column in columns]
    for name in ("key", "version_of"):
        if name in body and body[name] not in names:
            yield name, f"names {body[name]}, which is not a column of the contract"
    if body.get("kind") == "fact" and "version_of" not in body:
        yield "version_of", "is missing; every fact must have it"


def _of_columns(body: Mapping[str, Any], taken: Collection[str], keys: Mapping[str, bool]) -> Iterator[tuple[str, str]]:
    counts = Counter(str(column.get("name")).lower() for column in body["columns"])
    partition = body.get("partition")
    taken = {*taken, partition["name"]} if isinstance(partition, dict) and "name" in partition else taken
    for column in body["columns"]:
        name = column.get("name")
        place = f"column {name if is_name(name) else repr(name)}"
        yield from _keys(place, column, keys)
        if str(name).lower() in taken:
            yield place, f"has a name that the pipeline uses itself ({', '.join(sorted(taken))}): rename the column at the source"
        if not is_name(name):
            yield place, "must have a name of lower-case letters, digits and underscores, with a letter first: rename it at the source"
        if counts[str(name).lower()] > 1:
            yield place, "occurs more than once; names that differ only in case are the same name"
        if not is_lake_type(column.get("type")):
            yield place, f"has the type {column.get('type')}, which no job knows"
        if "warehouse_type" in column and not is_warehouse_type(column["warehouse_type"]):
            yield place, f"has the warehouse_type {column['warehouse_type']}, which the load does not know"
        required = "source_type" if body.get("kind") == "source" else "warehouse_type"
        if required not in column:
            yield place, f"has no {required}"
        if not isinstance(column.get("nullable"), bool):
            yield place, "does not say whether it is nullable"


def _keys(place: str, body: Mapping[str, Any], keys: Mapping[str, bool]) -> Iterator[tuple[str, str]]:
    if unknown := sorted(body.keys() - keys.keys()):
        yield place, f"has unknown keys: {', '.join(unknown)}"
    if missing := [name for name, is_required in keys.items() if is_required and name not in body]:
        yield place, f"lacks {', '.join(missing)}"
