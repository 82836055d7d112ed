"""Registers the contracts' tables in the Data Catalog. Registration owns columns, comments and its own parameters; jobs own locations.

A table that is as its contract says is not touched, so that no version of it is made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError
from totesys.catalog_tables import current_tables, raw_tables, warehouse_tables
from totesys.contracts import Contracts
from totesys.errors import FatalError

_ATTEMPTS = 5  # somebody else may update a table between our reading and our writing


def register_tables(
    glue: Any, contracts: Contracts, databases: Mapping[str, str], ingestion_bucket: str, processed_bucket: str
) -> Counter[str]:
    """Registers every table in `databases` (ingestion, current, processed -> name); counts created, updated and unchanged."""
    inputs = {
        databases["ingestion"]: raw_tables(contracts, ingestion_bucket),
        databases["current"]: current_tables(contracts, processed_bucket),
        databases["processed"]: warehouse_tables(contracts, processed_bucket),
    }
    outcomes: Counter[str] = Counter()
    for database, tables in inputs.items():
        pages = glue.get_paginator("get_tables").paginate(DatabaseName=database)
        registered = {table["Name"]: table for page in pages for table in page["TableList"]}
        outcomes.update(register_table(glue, database, table, registered.get(table["Name"])) for table in tables)
    return outcomes


def register_table(glue: Any, database: str, wanted: dict[str, Any], found: dict[str, Any] | None) -> str:
    """Creates the table, or brings what was `found` up to its contract; answers created, updated or unchanged."""
    for _ in range(_ATTEMPTS):
        if found is None:
            try:
                glue.create_table(DatabaseName=database, TableInput=wanted)
                return "created"
            except glue.exceptions.AlreadyExistsException:
                pass
        elif covers(found, merged := merge(wanted, found)):
            return "unchanged"
        else:
            version = {"VersionId": found["VersionId"]} if "VersionId" in found else {}
            try:
                glue.update_table(DatabaseName=database, TableInput=merged, **version)
                return "updated"
            except ClientError as error:
                if error.response["Error"]["Code"] not in ("ConcurrentModificationException", "VersionMismatchException"):
                    raise
        found = glue.get_table(DatabaseName=database, Name=wanted["Name"])["Table"]
    raise FatalError(f"table {database}.{wanted['Name']} is being changed by somebody else all the time: run scripts/deploy.sh again")


def merge(wanted: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """The contract's table, at the location where it is now and with the parameters that others have set."""
    location = found["StorageDescriptor"].get("Location") or wanted["StorageDescriptor"]["Location"]
    return {
        **wanted,
        "StorageDescriptor": {**wanted["StorageDescriptor"], "Location": location},
        "Parameters": {**found.get("Parameters", {}), **wanted["Parameters"]},
    }


def covers(found: Any, wanted: Any) -> bool:
    """Whether all that is wanted is there already; the catalog adds fields of its own."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(covers(found.get(name), value) for name, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(found, list) and len(found) == len(wanted) and all(map(covers, found, wanted))
    return bool(found == wanted)
