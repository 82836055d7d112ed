"""Arrow types and schemas, derived from the contracts and never inferred from data."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from totesys.contracts import Column
from totesys.contracts.types import LAKE_TYPES, digits


def arrow_type(lake_type: str) -> pa.DataType:
    """Return the Arrow type of a lake type. KeyError for a type that no contract may use."""
    if decimal := digits(lake_type):
        return pa.decimal128(*decimal)
    return pa.type_for_alias(LAKE_TYPES[lake_type].arrow)


def arrow_schema(columns: Iterable[Column]) -> pa.Schema:
    """Return the schema of a lake file with these columns. All are nullable in Parquet: only the contract says what may be null."""
    return pa.schema([(column.name, arrow_type(column.type)) for column in columns])
