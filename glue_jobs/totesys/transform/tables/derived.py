"""Warehouse columns derived from their contracts: each column's `origin` names the source column that it is made of."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from totesys.contracts import Column, load_contracts
from totesys.contracts.spark_types import spark_schema


def derived(table: str, rows: DataFrame) -> DataFrame:
    """Return the rows of a table that has one input and no rule of its own: one row per row of the input."""
    (source_table,) = load_contracts().warehouse[table].inputs
    return conform(rows.alias(source_table), table, {})


def conform(rows: DataFrame, table: str, made: Mapping[str, SparkColumn]) -> DataFrame:
    """The select that is the contract: every lake column of `table` in order, cast to its type.

    `rows` joins the inputs, each under its table's name as alias: two of them may have columns of the same name. `made` holds the columns
    that no origin describes. A column of the lineage that `made` does not have is taken from its namesake.
    """
    contract = load_contracts().warehouse[table]
    values = {column.name: _from_origin(column) for column in contract.lake_columns if column.name not in made}
    # Types by name: PySpark asks the JVM for five things to pass on a type as an object.
    types = {field.name: field.dataType.simpleString() for field in spark_schema(contract.file_columns)}
    return rows.select(*[{**values, **made}.get(name, F.col(name)).cast(type_).alias(name) for name, type_ in types.items()])


def _from_origin(column: Column) -> SparkColumn:
    """The origin's value: of a timestamp the UTC day, or the time of day as HH:MM:SS.mmm; of a text with a date, YYYY-MM-DD, the date."""
    table, _, name = str(column.origin).partition(".")
    origin = load_contracts().source[table].column(name)
    value = F.col(f"{table}.{name}")
    if origin.type == "timestamp" and column.type == "date":
        value = F.to_date(value)
    elif origin.type == "timestamp" and column.warehouse_type == "time":
        value = F.date_format(value, "HH:mm:ss.SSS")
    elif origin.format == "date" and column.type == "date":
        value = F.to_date(value, "yyyy-MM-dd")  # a text that is no date fails the job
    return value if column.null_becomes is None else F.coalesce(value, F.lit(column.null_becomes))
