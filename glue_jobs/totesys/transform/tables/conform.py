"""What the table modules share: the contract's columns with their types, and how a timestamp becomes a day and a time of day."""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from totesys.contracts import load_contracts
from totesys.contracts.spark_types import spark_schema


def conform(rows: DataFrame, table: str, made: Mapping[str, Column]) -> DataFrame:
    """The select that is the contract: every lake column of `table` in order, cast to its type, from `made` or from its namesake."""
    columns = load_contracts().warehouse[table].file_columns
    # Types by name: PySpark asks the JVM for five things to pass on a type as an object.
    types = {field.name: field.dataType.simpleString() for field in spark_schema(columns)}
    return rows.select(*[made.get(name, F.col(name)).cast(type_).alias(name) for name, type_ in types.items()])


def day_and_time(event: str, stamp: str) -> dict[str, Column]:
    """`<event>_date` and `<event>_time` (HH:MM:SS.mmm) of a UTC timestamp column."""
    return {f"{event}_date": F.to_date(stamp), f"{event}_time": F.date_format(stamp, "HH:mm:ss.SSS")}


def text_date(name: str) -> Column:
    """A date that the source writes as text, YYYY-MM-DD; a text that is no date fails the job."""
    return F.to_date(name, "yyyy-MM-dd")
