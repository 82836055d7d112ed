"""Derive warehouse columns from their contracts. Each column's `origin` names the source column that it comes from."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from totesys.contracts import Column, load_contracts
from totesys.contracts.spark_types import spark_schema


def derived(table: str, rows: DataFrame) -> DataFrame:
    """Return the rows of a table that has one input and no rule: one row per row of the input."""
    (source_table,) = load_contracts().warehouse[table].inputs
    return conform(rows.alias(source_table), table, {})


def conform(rows: DataFrame, table: str, made: Mapping[str, SparkColumn]) -> DataFrame:
    """Select every lake column of `table` in the contract's order, cast to its type.

    `rows` joins the inputs. Each has its table's name as alias, since two inputs may have columns of the same name. `made` holds the
    columns that no origin describes. A lineage column that is not in `made` is taken from the column of the same name.
    """
    contract = load_contracts().warehouse[table]
    values = {column.name: _from_origin(column) for column in contract.lake_columns if column.name not in made}
    # Types are passed by name: for a type object, PySpark makes five calls to the JVM.
    types = {field.name: field.dataType.simpleString() for field in spark_schema(contract.file_columns)}
    return rows.select(*[{**values, **made}.get(name, F.col(name)).cast(type_).alias(name) for name, type_ in types.items()])


def _from_origin(column: Column) -> SparkColumn:
    """Return the origin's value, converted to the column's type.

    A timestamp becomes its UTC day, or its time of day as HH:MM:SS.mmm. A text with a date (YYYY-MM-DD) becomes that date.
    """
    table, _, name = str(column.origin).partition(".")
    origin = load_contracts().source[table].column(name)
    value = F.col(f"{table}.{name}")
    if origin.type == "timestamp" and column.type == "date":
        value = F.to_date(value)
    elif origin.type == "timestamp" and column.warehouse_type == "time":
        value = F.date_format(value, "HH:mm:ss.SSS")
    elif origin.format == "date" and column.type == "date":
        value = F.to_date(value, "yyyy-MM-dd")  # a text that is not a date fails the job
    return value if column.null_becomes is None else F.coalesce(value, F.lit(column.null_becomes))
