"""Read and write the lake's Parquet with Spark: explicit schemas, explicit places, nothing discovered."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import PurePosixPath

from pyspark.sql import Column as SparkColumn
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from totesys.contracts import Column, Contract, Partition
from totesys.contracts.spark_types import spark_schema
from totesys.errors import BadDataError
from totesys.lake import layout
from totesys.lake.files import read_files
from totesys.lake.formats import OPEN_LETTERS, refuse_newer
from totesys.lake.manifests import DeadLetters, PartitionState, TableCapture

ROWS_PER_FILE = 1_000_000
_RANGES = 2**31
_FEW_ROWS = 100_000  # up to this, one task replaces a shuffle; the best limit was not measured


@dataclass(frozen=True)
class SparkLake:
    """The two buckets as Spark sees them."""

    spark: SparkSession
    ingestion_bucket: str
    processed_bucket: str

    def read_raw(self, contract: Contract, columns: Iterable[Column], files: Mapping[str, int]) -> DataFrame:
        """Return the rows of landed files. `files`: key -> the version of the contract that the file landed under, both from manifests."""
        return self._read(contract, columns, {layout.uri(self.ingestion_bucket, key): version for key, version in files.items()})

    def read_kept_out(self, dead_letters: Mapping[int, DeadLetters]) -> DataFrame | None:
        """Return the keys that batches kept out of the lake (key, batch_seq), by batch number; None when no batch kept out any.

        BadDataError when a file of keys does not hold as many as its manifest says.
        """
        if not dead_letters:
            return None
        for dead in dead_letters.values():
            refuse_newer(layout.uri(self.ingestion_bucket, dead.open_letters), dead.format, OPEN_LETTERS)
        # All files are read at once, and the file's name gives the batch. With one frame per file, the plan would grow with the batches.
        files = {dead.open_letters: seq for seq, dead in dead_letters.items()}
        batches = F.create_map(*[F.lit(part) for key, seq in files.items() for part in (PurePosixPath(key).name, seq)])
        rows = self.spark.read.schema("key bigint").parquet(*[layout.uri(self.ingestion_bucket, key) for key in files])
        keys = rows.select("key", F.element_at(batches, F.col("_metadata.file_name")).cast("bigint").alias("batch_seq"))
        counted: dict[int, int] = dict(keys.groupBy("batch_seq").count().collect())
        for key, seq in files.items():
            if counted.get(seq, 0) != dead_letters[seq].rows:
                raise BadDataError(
                    f"{layout.uri(self.ingestion_bucket, key)} holds {counted.get(seq, 0)} keys, but the manifest of batch {seq} says"
                    f" {dead_letters[seq].rows}, so nothing was published: restore the object"
                )
        return keys

    def read(self, contract: Contract, columns: Iterable[Column], states: Collection[PartitionState]) -> DataFrame:
        """Return the rows of the partitions that a manifest names; an empty frame when there are none.

        Foreign files are ignored, by their names. The caller checks that no file is missing (`check_rows`).
        """
        written_under = {layout.uri(self.processed_bucket, state.prefix): state.contract_version for state in states}
        return self._read(contract, columns, written_under, layout.DATA_FILES)

    def _read(self, contract: Contract, columns: Iterable[Column], written_under: Mapping[str, int], names: str = "*") -> DataFrame:
        if written_under:
            return read_files(self.spark, contract, columns, written_under, names)
        # createDataFrame would start Python workers for no rows.
        return self.spark.range(0).select(*[F.lit(None).cast(field.dataType).alias(field.name) for field in spark_schema(columns)])

    def check(self, tables: Mapping[str, Collection[PartitionState]]) -> None:
        """Raise BadDataError unless the partitions hold as many rows as the manifest says. Takes one Spark job, which reads no column."""
        files = self.spark.read.schema(spark_schema(())).option("pathGlobFilter", layout.DATA_FILES)
        reads = [
            files.parquet(*(layout.uri(self.processed_bucket, state.prefix) for state in states)).select(F.lit(table).alias("table"))
            for table, states in tables.items()
            if states
        ]
        if reads:
            counted: dict[str, int] = dict(reduce(DataFrame.unionByName, reads).groupBy("table").count().collect())
            for table, states in tables.items():
                check_rows(table, states, counted.get(table, 0))

    def write(self, rows: DataFrame, prefix: str, partition: Partition) -> None:
        """Write rows below a new prefix, one folder per value of the partition column."""
        # The prefix belongs to this attempt alone. Modes other than append would first ask S3 whether objects exist.
        rows.write.mode("append").partitionBy(partition.name).parquet(layout.uri(self.processed_bucket, prefix))


def check_rows(table: str, states: Collection[PartitionState], rows: int) -> None:
    """Raise BadDataError unless `rows`, the number of rows read from these partitions, is as the manifest says."""
    promised = sum(state.rows for state in states)
    if rows != promised:
        raise BadDataError(
            f"the lake's files of {table} hold {rows} rows, but the newest manifest says {promised}. Nothing was published: restore the"
            f" objects that are missing below {', '.join(state.prefix for state in states)}, and remove objects that no publish wrote"
        )


def check_capture(table: str, seq: int, capture: TableCapture, rows: int) -> None:
    """Raise BadDataError unless `rows`, which were read from the files that a batch landed, are as many as its manifest says."""
    if rows != capture.rows:
        raise BadDataError(
            f"the landed files of {table} in batch {seq} hold {rows} rows, but the manifest of the batch says {capture.rows}, so"
            f" nothing was published: restore the objects {', '.join(landed.key for landed in capture.files)}"
        )


def key_range(contract: Contract) -> SparkColumn:
    """Return the number of a row's key range, under the partition column's name.

    The number is taken modulo 2^31, so that the column stays an int for 64-bit keys. Two ranges with the same number are one partition.
    It uses DIV, since `/` divides as doubles, which cannot distinguish keys above 2^53.
    """
    ranges = f"`{contract.key}` DIV CAST({contract.range_size} AS BIGINT)"
    return F.expr(f"CAST(pmod({ranges}, CAST({_RANGES} AS BIGINT)) AS INT)").alias(contract.partition.name)


def are_few(count: int) -> bool:
    """Return whether this many rows are few enough for one task."""
    return count <= _FEW_ROWS


def divided(rows: DataFrame, partition: Partition, count: int) -> DataFrame:
    """Return the rows divided into tasks for writing: one task per partition value, or one task for all if `count` rows are few."""
    return rows.coalesce(1) if are_few(count) else rows.repartition(partition.name)
