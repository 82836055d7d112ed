"""The warehouse's tables in SQLAlchemy: those derived from the contracts, and our own in schema `etl`."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    Time,
    text,
)  # fmt: skip
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.types import TypeEngine

from totesys import contracts
from totesys.contracts import WAITS_FOR, WENT_IN_AFTER, Contract
from totesys.contracts.types import digits

PUBLIC_SCHEMA = "public"
ETL_SCHEMA = "etl"
TOMBSTONE = "tombstone"
STAGING = re.compile(r"staging_([0-9a-f]{8})_\w+")  # the name of a staging table; the group is the attempt that made it

_SQL_TYPES: dict[str, TypeEngine[Any]] = {
    "int": Integer(), "bigint": BigInteger(), "varchar": String(), "date": Date(), "time": Time(), "boolean": Boolean(),
}  # fmt: skip


def sql_type(warehouse_type: str) -> TypeEngine[Any]:
    """Return the SQLAlchemy type of a contract's warehouse type. KeyError for a type that no contract may use."""
    numeric = digits(warehouse_type)
    return Numeric(*numeric) if numeric else _SQL_TYPES[warehouse_type]


def warehouse_tables(warehouse: dict[str, Contract]) -> dict[str, Table]:
    """Return the eleven tables, parents before children. A key that the warehouse assigns becomes a serial."""
    metadata = MetaData(schema=PUBLIC_SCHEMA)
    return {table: _star_table(contract, warehouse, metadata) for table, contract in warehouse.items()}


def _star_table(contract: Contract, warehouse: dict[str, Contract], metadata: MetaData) -> Table:
    def column(item: contracts.Column) -> Column[Any]:
        parent = warehouse[item.references] if item.references else None
        references = [ForeignKey(f"{PUBLIC_SCHEMA}.{parent.table}.{parent.key}")] if parent else []
        return Column(
            item.name, sql_type(_warehouse_type(item)), *references, nullable=item.nullable, comment=item.description,
            primary_key=item.name == contract.key, autoincrement=item.assigned_by is not None,
        )  # fmt: skip

    table = Table(contract.table, metadata, *(column(item) for item in contract.columns), comment=contract.description)
    if contract.version_of:
        # "The current state of an order" is the highest record id among its versions: one descent of this index.
        Index(f"ix_{contract.table}_versions", table.c[contract.version_of], table.c[contract.key])
    return table


def _warehouse_type(item: contracts.Column) -> str:
    if item.warehouse_type is None:
        raise ValueError(f"the contract of column {item.name} has no warehouse type")
    return item.warehouse_type


@cache
def format_table() -> Table:
    """Return the table with the format of schema `etl`, in one row. Older code must not touch a schema with a newer format."""
    return Table(
        "format", MetaData(schema=ETL_SCHEMA),
        Column("format", Integer, primary_key=True, autoincrement=False, comment="Format of this schema's tables."),
        comment="The version of the tables in this schema: one row.",
    )  # fmt: skip


@cache
def ledger_table() -> Table:
    """Return the ledger: one row per load, written by the load's transaction. It is the truth about what the warehouse holds."""
    return Table(
        "load_ledger", MetaData(schema=ETL_SCHEMA),
        Column("load_seq", BigInteger, primary_key=True, autoincrement=False, comment="Number of the load; the newest has the highest."),
        Column("publish_seq", BigInteger, nullable=False, comment="Number of the publish that it loaded."),
        Column("publish_id", String, nullable=False, comment="Id of the publish."),
        Column("lake_id", String, nullable=False, comment="Id of the lake that all rows come from: of its first batch with rows."),
        Column("first_batch_seq", BigInteger, nullable=False, comment="Lowest batch number that this load brought in."),
        Column("through_batch_seq", BigInteger, nullable=False, comment="Highest batch number that is in."),
        Column("loaded_at", DateTime(timezone=True), nullable=False, server_default=text("clock_timestamp()"), comment="When."),
        Column("rows", JSONB, nullable=False, comment="Rows added or changed, by table."),
        Column("last_record_ids", JSONB, nullable=False, comment="Highest record id of each fact after this load; 0 while it is empty."),
        comment="Loads that the warehouse holds.",
    )  # fmt: skip


@cache
def tombstone_table() -> Table:
    """Return the table with one row per key that is deleted at the source now."""
    return Table(
        TOMBSTONE, MetaData(schema=ETL_SCHEMA),
        Column("source_table", String, primary_key=True, comment="Table of the source."),
        Column("key", BigInteger, primary_key=True, autoincrement=False, comment="Key of the deleted row."),
        Column("batch_seq", BigInteger, nullable=False, comment="Number of the batch that found it gone."),
        comment="Keys deleted at the source, whose rows the warehouse keeps.",
    )  # fmt: skip


@cache
def reinserted_version_table() -> Table:
    """Return the table with one row per fact version that correctly repeats the version before it."""
    return Table(
        "reinserted_version", MetaData(schema=ETL_SCHEMA),
        Column("fact_table", String, primary_key=True, comment="Table of the fact."),
        Column("key", BigInteger, primary_key=True, autoincrement=False, comment="Key that the versions are of."),
        Column("batch_seq", BigInteger, primary_key=True, autoincrement=False, comment="Number of the batch that brought the version."),
        comment="Rows that were deleted at the source and inserted again unchanged: their versions repeat each other.",
    )  # fmt: skip


@cache
def waiting_table(contract: Contract) -> Table:
    """Return the table with one row per fact version that waits or has waited for a parent: the lake's columns, and its outcome."""
    identity = (contract.lake_key, "batch_seq")
    columns = [
        Column(item.name, sql_type(item.warehouse_type or item.type), primary_key=item.name in identity, autoincrement=False)
        for item in contract.file_columns
    ]
    return Table(
        f"waiting_{contract.table.removeprefix('fact_')}", MetaData(schema=ETL_SCHEMA), *columns,
        Column(WAITS_FOR, ARRAY(Text), nullable=False, comment="Dimensions that lacked its parents at the last look; empty: it waits for"
               " an earlier version of its key."),
        Column(WENT_IN_AFTER, BigInteger, comment="Number of the load after which it went in; null: it waits."),
        comment=f"Versions of {contract.table} that wait for their parents, or have waited.",
    )  # fmt: skip


def etl_tables(warehouse: dict[str, Contract]) -> list[Table]:
    """Return every table of our own schema `etl`, without the staging tables."""
    waiting = [waiting_table(contract) for contract in warehouse.values() if contract.version_of]
    return [*waiting, format_table(), ledger_table(), tombstone_table(), reinserted_version_table(), reconciliation_table()]


@cache
def reconciliation_table() -> Table:
    """Return the table with one row per comparison with the source. scripts/totesys reconcile writes it."""
    return Table(
        "reconciliation", MetaData(schema=ETL_SCHEMA),
        Column("reconciled_at", DateTime(timezone=True), primary_key=True, comment="When the warehouse was looked at."),
        Column("through_batch_seq", BigInteger, nullable=False, comment="Highest batch number that was in; 0: none."),
        Column("tables", Integer, nullable=False, comment="Tables that were compared."),
        Column("differences", BigInteger, nullable=False, comment="Differences that were found; 0: they agreed."),
        comment="Comparisons of the warehouse with the source.",
    )  # fmt: skip


def staging_table(contract: Contract, attempt: str) -> Table:
    """Return the table in which one attempt stages a table's rows: the lake's columns with the warehouse's types, no constraints.

    The table is unlogged, since it is not needed after the attempt. A crash of the server empties it, and the merge notices that.
    """
    columns = [Column(item.name, sql_type(item.warehouse_type or item.type)) for item in contract.file_columns]
    return _staging_table(contract.table, attempt, *columns)


def tombstone_staging_table(attempt: str) -> Table:
    """Return the staging table for keys of mirrors, deleted or not: the columns of etl.tombstone and is_deleted."""
    columns = [Column(column.name, column.type) for column in tombstone_table().columns]
    return _staging_table(TOMBSTONE, attempt, *columns, Column("is_deleted", Boolean))


def _staging_table(table: str, attempt: str, *columns: Column[Any]) -> Table:
    return Table(f"{staging_prefix(attempt)}{table}", MetaData(schema=ETL_SCHEMA), *columns, prefixes=["UNLOGGED"])


def staging_prefix(attempt: str) -> str:
    """Return the beginning of the names of an attempt's staging tables."""
    return f"staging_{attempt}_"
