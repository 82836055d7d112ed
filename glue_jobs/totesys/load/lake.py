"""The rows of a load as Spark reads them from the lake: by the manifest's addresses and the contracts' types, nothing discovered."""

from __future__ import annotations

from pyspark.sql import DataFrame, Observation, SparkSession
from pyspark.sql import functions as F

from totesys import layout
from totesys.contracts import WAREHOUSE_LINEAGE, Contract
from totesys.errors import BadDataError
from totesys.load.plan import Plan
from totesys.spark_types import spark_schema


def new_rows(spark: SparkSession, bucket: str, plan: Plan, contract: Contract) -> tuple[DataFrame, Observation]:
    """The rows of one table that the warehouse does not have, and the count of what was read for them.

    The columns are the lake's and `batch_seq`. The observation counts `total` and `new` rows while the frame is written, without a pass
    of its own: an aggregate would cost more than all the writing when the rows are few.
    """
    prefixes = [state.prefix for state in plan.partitions[contract.table]]
    schema = spark_schema((*contract.lake_columns, *WAREHOUSE_LINEAGE))
    rows = spark.read.schema(schema).parquet(*(layout.uri(bucket, prefix) for prefix in prefixes))
    is_new = F.col("batch_seq") > plan.after_batch_seq
    counts = Observation()
    return rows.observe(counts, F.count("*").alias("total"), F.count_if(is_new).alias("new")).where(is_new), counts


def check_counts(plan: Plan, table: str, total: int, new: int) -> None:
    """BadDataError when the files that were read are not what the manifest says."""
    wanted = sum(state.rows for state in plan.partitions[table])
    if total != wanted:
        prefixes = ", ".join(state.prefix for state in plan.partitions[table])
        raise BadDataError(
            f"the lake's files of {table} hold {total} rows, but the manifest of publish {plan.publish.seq} says {wanted}:"
            f" restore the objects below {prefixes}"
        )
    promised = plan.promised_rows(table)
    if promised is not None and new != promised:
        raise BadDataError(
            f"the lake holds {new} new rows of {table}, but the manifest of publish {plan.publish.seq} says {promised}:"
            " the transform that wrote it miscounted, see its log"
        )
