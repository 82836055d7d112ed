"""Reading lake files by a contract, whichever version of the contract they were written under.

Spark reads a Parquet column only as (nearly) the type that the file holds, so files from before a change of type are read as what they
hold, and cast. What a file holds stands in its footer. A footer costs a request, so it is read only where the manifest says that the file
was written under another version of the contract, or, of earlier releases, does not say it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import reduce

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, SparkSession, types
from pyspark.sql import functions as F

from totesys.contracts import Column, Contract
from totesys.spark_types import spark_schema
from totesys.widening import widens

MISFIT = "a lake file does not fit its contract: "  # what the errors of values that cannot be cast begin with
_FOOTERS_AT_ONCE = 8
_TIMESTAMPS = (types.TimestampType(), types.TimestampNTZType())  # a file does not tell them apart as the lake does: all are without a zone


def read_files(
    spark: SparkSession, contract: Contract, columns: Iterable[Column], written_under: Mapping[str, int], names: str = "*"
) -> DataFrame:
    """The rows of Parquet files, or of folders that one job wrote each, as these columns; at least one.

    `written_under` is the version of the contract that each was written under, by its URI; 0 where nobody knows. `names` is a glob that the
    names of the files must fit. A column that a file lacks is null there. The job fails with a text that begins with MISFIT where a value
    cannot be cast to its contract's type.
    """
    wanted = spark_schema(columns)
    others = [uri for uri, version in written_under.items() if version != contract.version]
    with ThreadPoolExecutor(_FOOTERS_AT_ONCE) as pool:
        held = dict(zip(others, pool.map(lambda uri: _held_schema(spark, uri, wanted, names), others)))
    by_schema: dict[str, tuple[types.StructType, list[str]]] = {}
    for uri in written_under:
        schema = held.get(uri, wanted)
        by_schema.setdefault(schema.simpleString(), (schema, []))[1].append(uri)
    return reduce(
        DataFrame.union,
        [
            _as_wanted(spark.read.schema(schema).option("pathGlobFilter", names).parquet(*uris), schema, wanted, contract)
            for schema, uris in by_schema.values()
        ],
    )


def _held_schema(spark: SparkSession, uri: str, wanted: types.StructType, names: str) -> types.StructType:
    """The wanted columns with the types that the files have."""
    found = {field.name: field.dataType for field in spark.read.option("pathGlobFilter", names).parquet(uri).schema}
    held = [types.StructField(field.name, _held_type(field.dataType, found.get(field.name, field.dataType))) for field in wanted]
    return types.StructType(held)


def _held_type(wanted: types.DataType, found: types.DataType) -> types.DataType:
    return wanted if wanted in _TIMESTAMPS and found in _TIMESTAMPS else found


def _as_wanted(rows: DataFrame, held: types.StructType, wanted: types.StructType, contract: Contract) -> DataFrame:
    if held == wanted:
        return rows
    return rows.select(*[_cast(was, field, contract).alias(field.name) for was, field in zip(held, wanted)])


def _cast(was: types.StructField, wanted: types.StructField, contract: Contract) -> SparkColumn:
    value, (before, after) = F.col(was.name), (field.dataType.simpleString() for field in (was, wanted))
    if before == after:
        return value
    if widens(before, after):
        return value.cast(after)
    # Not Spark's own error, whose message would put the value into the log.
    fitting = F.expr(f"try_cast(`{was.name}` AS {after})")
    reason = f"{MISFIT}{contract.table}.{was.name} holds values of {before} that do not fit {after}"
    return F.when(value.isNull() | fitting.isNotNull(), fitting).otherwise(F.raise_error(F.lit(reason)).cast(after))
