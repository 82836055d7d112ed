"""Read lake files with the current contract's types, whichever version of the contract they were written under.

Spark reads a Parquet column only as the type in the file, or nearly that type. So files from before a change of type are read with their
own types, and then cast. A file's types are in its footer. Reading a footer costs a request, so footers are read only if the manifest
names another version of the contract, or no version (manifests of earlier releases).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import reduce

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, SparkSession, types
from pyspark.sql import functions as F

from totesys.contracts import Column, Contract
from totesys.contracts.spark_types import spark_schema
from totesys.contracts.types import widens

MISFIT = "a lake file does not fit its contract: "  # the beginning of the error for values that cannot be cast
_FOOTERS_AT_ONCE = 8
_TIMESTAMPS = (types.TimestampType(), types.TimestampNTZType())  # as Spark finds them in files; the lake has no zones, so both are right


def read_files(
    spark: SparkSession, contract: Contract, columns: Iterable[Column], written_under: Mapping[str, int], names: str = "*"
) -> DataFrame:
    """Return the rows of Parquet files, or of folders that one job each has written, with these columns. Takes at least one URI.

    `written_under`: by URI, the version of the contract that the files were written under; 0 if it is unknown. `names` is a glob; files
    with other names are ignored. A column that a file lacks is null. A value that cannot be cast to its contract's type fails the job
    with an error that begins with MISFIT.
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
    """Return the wanted columns with the types in the files' footers. A column that the files lack keeps the wanted type."""
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
    # Spark's own error is not used, since its message would put the value into the log.
    fitting = F.expr(f"try_cast(`{was.name}` AS {after})")
    reason = f"{MISFIT}{contract.table}.{was.name} holds values of {before} that do not fit {after}"
    return F.when(value.isNull() | fitting.isNotNull(), fitting).otherwise(F.raise_error(F.lit(reason)).cast(after))
