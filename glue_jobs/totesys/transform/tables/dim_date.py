"""dim_date: the calendar."""

from __future__ import annotations

import datetime

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from totesys.transform.tables.derived import conform


def dim_date(spark: SparkSession, first_year: int, last_year: int, batch_seq: int) -> DataFrame:
    """Return one row per day, from the first day of `first_year` to the last day of `last_year`, all with this batch_seq."""
    first, last = F.lit(datetime.date(first_year, 1, 1)), F.lit(datetime.date(last_year, 12, 31))
    days = spark.range(1).select(F.explode(F.sequence(first, last)).alias("date_id"), F.lit(batch_seq).alias("batch_seq"))
    made = {
        "date_id": F.col("date_id"),
        "year": F.year("date_id"),
        "month": F.month("date_id"),
        "day": F.dayofmonth("date_id"),
        "day_of_week": F.weekday("date_id") + 1,  # weekday counts from Monday = 0
        "day_name": F.date_format("date_id", "EEEE"),
        "month_name": F.date_format("date_id", "MMMM"),
        "quarter": F.quarter("date_id"),
    }
    return conform(days, "dim_date", made)
