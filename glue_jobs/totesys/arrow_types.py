"""Arrow types and schemas from the contracts' types: never inferred from data."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pyarrow as pa

from totesys.contracts import Column

_SIMPLE = {
    "int": pa.int32(),
    "bigint": pa.int64(),
    "string": pa.string(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us"),
}
_DECIMAL = re.compile(r"decimal\((\d+),(\d+)\)")


def arrow_type(glue_type: str) -> pa.DataType:
    """The Arrow type of a Glue type; ValueError for one that no contract uses yet."""
    if glue_type in _SIMPLE:
        return _SIMPLE[glue_type]
    if found := _DECIMAL.fullmatch(glue_type):
        return pa.decimal128(int(found[1]), int(found[2]))
    raise ValueError(f"no Arrow type is known for {glue_type}: add it to totesys/arrow_types.py")


def arrow_schema(columns: Iterable[Column]) -> pa.Schema:
    """The schema of a lake file with these columns. All are nullable in Parquet: the contract, not the file, says what may be null."""
    return pa.schema([(column.name, arrow_type(column.type)) for column in columns])
