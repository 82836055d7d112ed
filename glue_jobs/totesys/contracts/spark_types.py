"""Spark schemas, derived from contract columns. Lake files are read and written with them, never with inferred types."""

from __future__ import annotations

from collections.abc import Iterable

from pyspark.sql import types

from totesys.contracts import Column
from totesys.contracts.types import LAKE_TYPES, digits


def spark_schema(columns: Iterable[Column]) -> types.StructType:
    """Return the Spark schema of the columns, in order. All are nullable, since Spark ignores the flag when it reads files.

    KeyError for a type that no contract may use.
    """
    fields = [{"name": column.name, "type": _name(column.type), "nullable": True, "metadata": {}} for column in columns]
    return types.StructType.fromJson({"fields": fields})


def _name(lake_type: str) -> str:
    return lake_type if digits(lake_type) else LAKE_TYPES[lake_type].spark
