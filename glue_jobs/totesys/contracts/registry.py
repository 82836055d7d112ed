"""Read contracts from the Data Catalog. Each table there carries the contract that it was registered from, as a parameter."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from totesys.contracts import Contract, parents_first, parse_contract
from totesys.errors import FatalError
from totesys.errors.aws import aws_call

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient

CONTRACT = "contract"  # the parameter of a table that holds its contract's body


def registered_contracts(glue: GlueClient, database: str) -> dict[str, Contract]:
    """Return the contracts of the source tables in the ingestion database, parents before children.

    FatalError when the database has no tables, or a table has no readable contract.
    """
    with aws_call(f"listing the tables of {database}"):
        pages = glue.get_paginator("get_tables").paginate(DatabaseName=database)
        tables = [table for page in pages for table in page["TableList"]]
    if not tables:
        raise FatalError(f"database {database} of the Data Catalog has no tables: run scripts/deploy.sh")
    contracts = {table["Name"]: registered_contract(table) for table in tables}
    for contract in contracts.values():
        for column in contract.columns:
            if column.references and column.references not in contracts:
                raise FatalError(
                    f"{database}.{contract.table} refers to {column.references}, which is not registered: run scripts/deploy.sh"
                )
    return parents_first(contracts)


def registered_contract(table: Mapping[str, Any]) -> Contract:
    """Return the contract of a table as Glue describes it. FatalError when the table has no readable contract."""
    try:
        return parse_contract(json.loads(table.get("Parameters", {})[CONTRACT]))
    except (FatalError, KeyError, TypeError, ValueError) as error:
        reason = str(error) if isinstance(error, FatalError) else f"{type(error).__name__} in parameter {CONTRACT}"
        raise FatalError(
            f"table {table.get('DatabaseName')}.{table['Name']} of the Data Catalog has no readable contract ({reason}):"
            " run scripts/deploy.sh"
        ) from error
