"""Spark schemas from contract columns: lake files are read and written by these and never by an inferred type."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pyspark.sql import types

from totesys.contracts import Column

_DECIMAL = re.compile(r"decimal\((\d+),(\d+)\)")
_SIMPLE: dict[str, types.DataType] = {
    "int": types.IntegerType(),
    "bigint": types.LongType(),
    "string": types.StringType(),
    "boolean": types.BooleanType(),
    "date": types.DateType(),
    "timestamp": types.TimestampNTZType(),  # the source has no zone either; its clock is UTC
}


def spark_type(glue_type: str) -> types.DataType:
    """The Spark type of a Glue type's name; ValueError for one that no contract may use."""
    decimal = _DECIMAL.fullmatch(glue_type)
    if decimal:
        return types.DecimalType(int(decimal[1]), int(decimal[2]))
    try:
        return _SIMPLE[glue_type]
    except KeyError:
        raise ValueError(f"no Spark type for the Glue type {glue_type}") from None


def spark_schema(columns: Iterable[Column]) -> types.StructType:
    """The columns in their order. All are nullable, since Spark ignores the flag when it reads files; contracts are checked elsewhere."""
    return types.StructType([types.StructField(column.name, spark_type(column.type), nullable=True) for column in columns])
