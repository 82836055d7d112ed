"""Spark schemas from contract columns: lake files are read and written by these and never by an inferred type."""

from __future__ import annotations

from collections.abc import Iterable

from pyspark.sql import types

from totesys.contracts import Column
from totesys.contracts.types import LAKE_TYPES, digits


def spark_schema(columns: Iterable[Column]) -> types.StructType:
    """The columns in their order. All are nullable, since Spark ignores the flag when it reads files; contracts are checked elsewhere.

    KeyError for a type that no contract may use.
    """
    fields = [{"name": column.name, "type": _name(column.type), "nullable": True, "metadata": {}} for column in columns]
    return types.StructType.fromJson({"fields": fields})


def _name(lake_type: str) -> str:
    return lake_type if digits(lake_type) else LAKE_TYPES[lake_type].spark
