"""Derive the tables of the Data Catalog from the contracts: columns with their comments, partition keys, and what a reader must know.

A table's data is where its partitions point. The location here is only a new table's first location.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from totesys.contracts import MIRROR_LINEAGE, RAW_LINEAGE, RAW_PARTITIONS, Column, Contract, Contracts, Partition
from totesys.contracts.registry import CONTRACT
from totesys.lake import layout

if TYPE_CHECKING:
    from mypy_boto3_glue.type_defs import TableInputTypeDef

OWNER = "totesys"  # some clients cannot read a table without an owner


def raw_table_inputs(contracts: Contracts, bucket: str) -> list[TableInputTypeDef]:
    """Return the TableInputs of the ingestion database: every row version that a batch read."""
    return [
        table_input(
            contract,
            (*contract.columns, *RAW_LINEAGE),
            RAW_PARTITIONS,
            layout.uri(bucket, f"{contract.table}/"),
            f"{contract.grain} and batch",
        )
        for contract in contracts.source.values()
    ]


def mirror_table_inputs(contracts: Contracts, bucket: str) -> list[TableInputTypeDef]:
    """Return the TableInputs of the mirror database: the latest row of each key of the source."""
    return [
        table_input(
            contract,
            (*contract.columns, *MIRROR_LINEAGE),
            (contract.partition,),
            layout.uri(bucket, f"{layout.mirror_table(contract.table)}/"),
            contract.grain,
        )
        for contract in contracts.source.values()
    ]


def star_table_inputs(contracts: Contracts, bucket: str) -> list[TableInputTypeDef]:
    """Return the TableInputs of the star database: the three stars."""
    return [
        table_input(
            contract,
            contract.file_columns,
            (contract.partition,),
            layout.uri(bucket, f"{layout.star_table(contract.table)}/"),
            contract.grain,
        )
        for contract in contracts.warehouse.values()
    ]


def table_input(
    contract: Contract, columns: Sequence[Column], partitions: Sequence[Partition], location: str, grain: str
) -> TableInputTypeDef:
    """Return one table as Glue's CreateTable takes it."""
    return {
        "Name": contract.table,
        "Description": contract.description,
        "Owner": OWNER,
        "TableType": "EXTERNAL_TABLE",
        "StorageDescriptor": {
            "Columns": [{"Name": column.name, "Type": column.type, "Comment": comment(column)} for column in columns],
            "Location": location,
            "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
            "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
            "SerdeInfo": {"SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"},
        },
        "PartitionKeys": [{"Name": key.name, "Type": key.type, "Comment": key.description[:255]} for key in partitions],
        "Parameters": {
            "EXTERNAL": "TRUE",
            "classification": "parquet",
            CONTRACT: contract.body,
            "contract_version": str(contract.version),
            "grain": grain,
            "kind": contract.kind,
            "nullable_columns": ",".join(column.name for column in columns if column.nullable),
            "primary_key": f"{contract.version_of},batch_seq" if contract.version_of else contract.key,
        },
    }


def comment(column: Column) -> str:
    """Return the column's description, and its origin if it has one. Glue takes at most 255 characters."""
    text = f"{column.description} From {column.origin}." if column.origin else column.description
    return text[:255]
