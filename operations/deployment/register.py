"""Register the contracts' tables in the Data Catalog. Registration sets columns, comments and its own parameters; jobs set locations.

A table that agrees with its contract is not touched, so that it gets no new version.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from totesys.contracts import Contracts
from totesys.errors import FatalError
from totesys.lake.catalog_tables import mirror_table_inputs, raw_table_inputs, star_table_inputs

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient
    from mypy_boto3_glue.type_defs import TableInputTypeDef, TablePaginatorTypeDef

_ATTEMPTS = 5  # another process may update a table between our read and our write


@dataclass(frozen=True)
class Registration:
    """A table as its contract describes it, and as the catalog has it, or None if it has none."""

    database: str
    wanted: TableInputTypeDef
    found: Mapping[str, Any] | None

    @property
    def outcome(self) -> str:
        """What registering will do: create, update or unchanged."""
        if self.found is None:
            return "create"
        return "unchanged" if covers(self.found, merge(self.wanted, self.found)) else "update"

    @property
    def version_step(self) -> str:
        """Return the contract's version, before and after."""
        before, after = (table and table.get("Parameters", {}).get("contract_version") for table in (self.found, self.wanted))
        return f"version {after}" if before in (None, after) else f"version {before} to {after}"


def register_tables(
    glue: GlueClient, contracts: Contracts, databases: Mapping[str, str], ingestion_bucket: str, processed_bucket: str
) -> Counter[str]:
    """Register every table in `databases` (ingestion, mirror, star -> name). Count created, updated and unchanged."""
    wanted = registrations(glue, contracts, databases, ingestion_bucket, processed_bucket)
    return Counter(register_table(glue, table.database, table.wanted, table.found) for table in wanted)


def registrations(
    glue: GlueClient, contracts: Contracts, databases: Mapping[str, str], ingestion_bucket: str, processed_bucket: str
) -> list[Registration]:
    """Yield every table of the contracts, with what the catalog has. A missing database has no tables."""
    inputs = {
        "ingestion": raw_table_inputs(contracts, ingestion_bucket),
        "mirror": mirror_table_inputs(contracts, processed_bucket),
        "star": star_table_inputs(contracts, processed_bucket),
    }
    return [
        Registration(databases[name], table, found.get(table["Name"]))
        for name, tables in inputs.items()
        for found in [registered_tables(glue, databases[name])]
        for table in tables
    ]


def registered_tables(glue: GlueClient, database: str) -> dict[str, TablePaginatorTypeDef]:
    """Return the tables of a database by name. A missing database has none."""
    try:
        pages = list(glue.get_paginator("get_tables").paginate(DatabaseName=database))
    except glue.exceptions.EntityNotFoundException:
        return {}
    return {table["Name"]: table for page in pages for table in page["TableList"]}


def register_table(glue: GlueClient, database: str, wanted: TableInputTypeDef, found: Mapping[str, Any] | None) -> str:
    """Create the table, or update the table that was `found`. Return created, updated or unchanged."""
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


def merge(wanted: TableInputTypeDef, found: Mapping[str, Any]) -> TableInputTypeDef:
    """Return the contract's table, with its present location and the parameters that others have set."""
    location = found["StorageDescriptor"].get("Location") or wanted["StorageDescriptor"]["Location"]
    return {
        **wanted,
        "StorageDescriptor": {**wanted["StorageDescriptor"], "Location": location},
        "Parameters": {**found.get("Parameters", {}), **wanted["Parameters"]},
    }


def covers(found: Any, wanted: Any) -> bool:
    """Whether the catalog has all that is wanted. It adds fields of its own."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(covers(found.get(name), value) for name, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(found, list) and len(found) == len(wanted) and all(map(covers, found, wanted))
    return bool(found == wanted)
