"""The rows of a load as Spark reads them from the lake: by the manifest's addresses and the contracts' types, nothing discovered."""

from __future__ import annotations

from collections import defaultdict

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from totesys import layout
from totesys.contracts import WAREHOUSE_LINEAGE, Contract
from totesys.errors import BadDataError
from totesys.load.plan import Plan
from totesys.spark_types import spark_schema


def new_rows(spark: SparkSession, bucket: str, plan: Plan, contract: Contract) -> DataFrame:
    """The rows of one table that the warehouse does not have: the lake's columns and `batch_seq`."""
    prefixes = [state.prefix for state in plan.partitions[contract.table]]
    schema = spark_schema((*contract.lake_columns, *WAREHOUSE_LINEAGE))
    rows = spark.read.schema(schema).parquet(*(layout.uri(bucket, prefix) for prefix in prefixes))
    return rows.where(F.col("batch_seq") > plan.after_batch_seq)


def count_new_rows(spark: SparkSession, bucket: str, plan: Plan) -> dict[str, int]:
    """Rows to load by table, counted in the lake's files; BadDataError when the files are not what the manifest says.

    One aggregate over one column of all tables at once: on small data a Spark job's time is its start.
    """
    tables = {state.prefix: table for table, states in plan.partitions.items() for state in states}
    batch_seqs = spark.read.schema(spark_schema(WAREHOUSE_LINEAGE)).parquet(*(layout.uri(bucket, prefix) for prefix in tables))
    # file_path is s3://bucket/<prefix><file>, so the prefix is what stands between the third and the last slash.
    counts = (
        batch_seqs.groupBy(F.regexp_extract("_metadata.file_path", "^[^:]+://[^/]+/(.*/)[^/]+$", 1).alias("prefix"))
        .agg(F.count("*").alias("total"), F.count_if(F.col("batch_seq") > plan.after_batch_seq).alias("new"))
        .collect()
    )  # one row per partition of the lake
    found = {row["prefix"]: row for row in counts}
    expected: dict[str, int] = defaultdict(int)
    for table, states in plan.partitions.items():
        for state in states:
            total = found[state.prefix]["total"] if state.prefix in found else 0
            if total != state.rows:
                raise BadDataError(
                    f"{layout.uri(bucket, state.prefix)} holds {total} rows, but the manifest of publish {plan.publish.seq} says"
                    f" {state.rows}: restore the objects from their older versions"
                )
            expected[table] += found[state.prefix]["new"]
    if plan.promised_rows is not None and dict(expected) != plan.promised_rows:
        raise BadDataError(
            f"the lake holds {dict(expected)} new rows, but the manifest of publish {plan.publish.seq} says {plan.promised_rows}"
        )
    return dict(expected)
