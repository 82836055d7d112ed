"""Move the catalog's pointers: the prefix of each partition. Only jobs move them, forward only, and every run applies them again.

The manifests are the truth. After a crash a pointer may be behind the newest manifest, but never ahead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from totesys.errors import RetriableError
from totesys.errors.aws import aws_call
from totesys.lake import layout
from totesys.lake.manifests import BatchManifest, PartitionState

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient
    from mypy_boto3_glue.type_defs import BatchUpdatePartitionRequestEntryTypeDef, PartitionInputTypeDef, StorageDescriptorTypeDef

_PER_CALL = 100  # the most that BatchCreatePartition and BatchUpdatePartition take
_PER_DELETE = 25
_PUBLISH_SEQ = "publish_seq"

Item = TypeVar("Item")


def register_batch(glue: GlueClient, database: str, batch: BatchManifest, bucket: str) -> None:
    """Register the batch's raw partitions (ingest_date, batch_id). Existing partitions stay as they are, since raw data never moves."""
    for table, capture in batch.tables.items():
        if not capture.rows:
            continue
        prefix = layout.raw_prefix(table, batch.ingest_date, batch.batch_id)
        partition: PartitionInputTypeDef = {
            "Values": [batch.ingest_date, batch.batch_id],
            "StorageDescriptor": _descriptor(glue, database, table, layout.uri(bucket, prefix)),
            "Parameters": {"rows": str(capture.rows)},
        }
        _create(glue, database, table, [partition], taken_is_fine=True)


def follow(glue: GlueClient, database: str, table: str, states: Mapping[str, PartitionState], publish_seq: int, bucket: str) -> int:
    """Make a table's partitions those of publish number `publish_seq`. Return how many partitions changed.

    Each value points at its state's prefix. A value that the publish does not have is removed. Partitions that a newer publish has moved
    stay as they are.
    """
    registered = _publish_seqs(glue, database, table)
    behind = {value: state for value, state in states.items() if registered.get(value, -1) < state.publish_seq}
    vanished = [value for value, seq in registered.items() if value not in states and seq < publish_seq]
    if behind:
        descriptor = _descriptor(glue, database, table, location="")
        partitions: dict[str, PartitionInputTypeDef] = {
            value: {
                "Values": [value],
                "StorageDescriptor": {**descriptor, "Location": layout.uri(bucket, state.prefix)},
                "Parameters": {_PUBLISH_SEQ: str(state.publish_seq), "rows": str(state.rows)},
            }
            for value, state in behind.items()
        }
        _create(glue, database, table, [partition for value, partition in partitions.items() if value not in registered])
        _update(glue, database, table, [partition for value, partition in partitions.items() if value in registered])
    _delete(glue, database, table, vanished)
    return len(behind) + len(vanished)


def newest_publish_seq(glue: GlueClient, databases: Iterable[str]) -> int:
    """Return the newest publish that any partition of the databases points at; 0 when there is none."""
    newest = 0
    for database in databases:
        with aws_call(f"listing the tables of {database}"):
            pages = glue.get_paginator("get_tables").paginate(DatabaseName=database)
            tables = [table["Name"] for page in pages for table in page["TableList"] if table.get("PartitionKeys")]
        for table in tables:
            newest = max(newest, *_publish_seqs(glue, database, table).values(), 0)
    return newest


def _descriptor(glue: GlueClient, database: str, table: str, location: str) -> StorageDescriptorTypeDef:
    """Return the table's storage descriptor with this location. A partition has its table's columns and format."""
    with aws_call(f"reading table {database}.{table} of the Data Catalog"):
        found = glue.get_table(DatabaseName=database, Name=table)["Table"]
    return {**found["StorageDescriptor"], "Location": location}


def _publish_seqs(glue: GlueClient, database: str, table: str) -> dict[str, int]:
    """Return the publish that each registered partition points at, by partition value."""
    with aws_call(f"listing the partitions of {database}.{table}"):
        pages = glue.get_paginator("get_partitions").paginate(DatabaseName=database, TableName=table, ExcludeColumnSchema=True)
        return {
            partition["Values"][0]: int(partition.get("Parameters", {}).get(_PUBLISH_SEQ, -1))
            for page in pages
            for partition in page["Partitions"]
        }


def _create(
    glue: GlueClient, database: str, table: str, partitions: Sequence[PartitionInputTypeDef], *, taken_is_fine: bool = False
) -> None:
    for some in _chunks(partitions):
        with aws_call(f"registering partitions of {database}.{table}"):
            answer = glue.batch_create_partition(DatabaseName=database, TableName=table, PartitionInputList=some)
        errors = [error["ErrorDetail"]["ErrorCode"] for error in answer.get("Errors", ())]
        _raise_for(database, table, [code for code in errors if not (taken_is_fine and code == "AlreadyExistsException")])


def _update(glue: GlueClient, database: str, table: str, partitions: Sequence[PartitionInputTypeDef]) -> None:
    for some in _chunks(partitions):
        entries: list[BatchUpdatePartitionRequestEntryTypeDef] = [
            {"PartitionValueList": partition["Values"], "PartitionInput": partition} for partition in some
        ]
        with aws_call(f"moving partitions of {database}.{table}"):
            answer = glue.batch_update_partition(DatabaseName=database, TableName=table, Entries=entries)
        _raise_for(database, table, [error["ErrorDetail"]["ErrorCode"] for error in answer.get("Errors", ())])


def _delete(glue: GlueClient, database: str, table: str, values: Sequence[str]) -> None:
    for some in _chunks(values, _PER_DELETE):
        with aws_call(f"removing partitions of {database}.{table}"):
            answer = glue.batch_delete_partition(
                DatabaseName=database, TableName=table, PartitionsToDelete=[{"Values": [one]} for one in some]
            )
        _raise_for(database, table, [error["ErrorDetail"]["ErrorCode"] for error in answer.get("Errors", ())])


def _raise_for(database: str, table: str, codes: Sequence[str]) -> None:
    if codes:
        raise RetriableError(
            f"the Data Catalog refused {len(codes)} partitions of {database}.{table} ({', '.join(sorted(set(codes)))}): "
            "the next run applies them again"
        )


def _chunks(items: Iterable[Item], size: int = _PER_CALL) -> Iterator[list[Item]]:
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some
