"""Check the contracts that commands write and register against catalog/contract.schema.json."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from totesys.contracts import Contract
from totesys.errors import FatalError

CATALOG = Path(__file__).parents[2] / "catalog"


def check_schema(body: Mapping[str, Any]) -> None:
    """Raise FatalError with table, column and the most relevant fault when a contract's JSON does not follow the schema."""
    fault = best_match(_validator().iter_errors(body))
    if fault is None:
        return
    path = list(fault.absolute_path)
    place = ".".join(str(part) for part in path) or "the table"
    if path[:1] == ["columns"] and len(path) > 1:
        column = body["columns"][path[1]]
        place = " ".join([f"column {column.get('name')}", *map(str, path[2:])])
    raise FatalError(f"the contract of {body.get('table')} does not follow catalog/contract.schema.json: {place}: {fault.message}")


def check_schemas(contracts: Iterable[Contract]) -> None:
    """Check each contract in the form in which it would be registered."""
    for contract in contracts:
        check_schema(json.loads(contract.body))


@lru_cache(maxsize=1)
def _validator() -> Draft202012Validator:
    return Draft202012Validator(json.loads((CATALOG / "contract.schema.json").read_text("utf-8")))
