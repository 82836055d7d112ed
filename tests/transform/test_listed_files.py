"""Spark believes the listing that it has just made (docs/adr/0016), and what has changed since an earlier one is seen all the same."""

from __future__ import annotations

import io
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from py4j.protocol import Py4JJavaError
from pyspark.sql import DataFrame, SparkSession
from totesys.lake.store import Bucket

KEY = "rows/part-00000.parquet"


@pytest.fixture
def bucket(new_bucket: Callable[[], Bucket]) -> Bucket:
    return new_bucket()


def put(bucket: Bucket, rows: int) -> None:
    body = io.BytesIO()
    pq.write_table(pa.table({"id": range(rows)}), body)
    bucket.put(KEY, body.getvalue())


def read(spark: SparkSession, bucket: Bucket) -> DataFrame:
    return spark.read.schema("id bigint").parquet(f"s3://{bucket.name}/rows/")


def test_a_file_that_was_written_again_is_read_as_it_is_now(spark: SparkSession, bucket: Bucket) -> None:
    for rows in (1, 5_000, 3):
        put(bucket, rows)
        assert [row.id for row in read(spark, bucket).collect()] == list(range(rows))


def test_a_file_that_went_after_its_listing_is_missed(spark: SparkSession, bucket: Bucket) -> None:
    put(bucket, 3)
    listed = read(spark, bucket)
    bucket.delete([KEY])
    with pytest.raises(Py4JJavaError, match="FileNotFoundException"):
        listed.collect()
