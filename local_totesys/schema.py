"""Create the tables of totesys from the contracts, with the real physical order of columns and a foreign table of the application."""

from __future__ import annotations

from typing import Any

from psycopg2 import sql
from totesys.contracts import Column, Contract, load_contracts

# In these tables of the real source the timestamps come right after the key. The contracts have a different order.
TIMESTAMPS_EARLY = frozenset({"design", "sales_order", "purchase_order", "payment"})
TIMESTAMPS = ("created_at", "last_updated")

# The application's own record of its migrations, as Prisma creates it. No contract names this table, so the pipeline must not read it.
PRISMA_MIGRATIONS = """
CREATE TABLE _prisma_migrations (
    id varchar(36) PRIMARY KEY,
    checksum varchar(64) NOT NULL,
    finished_at timestamptz,
    migration_name varchar(255) NOT NULL,
    logs text,
    rolled_back_at timestamptz,
    started_at timestamptz NOT NULL DEFAULT now(),
    applied_steps_count integer NOT NULL DEFAULT 0
);
INSERT INTO _prisma_migrations (id, checksum, finished_at, migration_name, started_at, applied_steps_count)
VALUES (
    '6b8f5f0e-4c1d-4b43-9a35-0f7e2d1c9a11', md5('init') || md5('totesys'),
    '2022-11-03 14:10:02+00', '20221103141000_init', '2022-11-03 14:10:01+00', 1
);
"""


def create_source(connection: Any) -> None:
    """Create the enums, the eleven tables and _prisma_migrations in an empty database, in one transaction."""
    contracts = load_contracts().source
    columns = [column for contract in contracts.values() for column in contract.columns]
    enums = {column.source_type: column.values for column in columns if column.source_type and column.values}
    with connection, connection.cursor() as cursor:
        for name, values in enums.items():
            literals = sql.SQL(", ").join(map(sql.Literal, values))
            cursor.execute(sql.SQL("CREATE TYPE {} AS ENUM ({})").format(sql.Identifier(name), literals))
        for contract in contracts.values():
            cursor.execute(table_ddl(contract, contracts))
        cursor.execute(PRISMA_MIGRATIONS)


def table_ddl(contract: Contract, contracts: dict[str, Contract]) -> sql.Composed:
    """Return CREATE TABLE with the key's sequence and the foreign keys."""
    columns = sql.SQL(", ").join(column_ddl(column, contract, contracts) for column in physical_columns(contract))
    return sql.SQL("CREATE TABLE {} ({})").format(sql.Identifier(contract.table), columns)


def physical_columns(contract: Contract) -> list[Column]:
    """Return the columns in the order in which the source stores them."""
    if contract.table not in TIMESTAMPS_EARLY:
        return list(contract.columns)
    key = [contract.column(contract.key)]
    timestamps = [contract.column(name) for name in TIMESTAMPS]
    return key + timestamps + [column for column in contract.columns if column not in key + timestamps]


def column_ddl(column: Column, contract: Contract, contracts: dict[str, Contract]) -> sql.Composed:
    """Return one column's definition. Its type comes from the contract, never from data."""
    assert column.source_type is not None, f"{contract.table}.{column.name} has no source_type in its contract"
    parts: list[sql.Composable] = [sql.Identifier(column.name)]
    if column.name == contract.key:
        return sql.SQL(" ").join([*parts, sql.SQL("serial PRIMARY KEY")])
    parts.append(sql.Identifier(column.source_type) if column.values else sql.SQL(column.source_type))
    if not column.nullable:
        parts.append(sql.SQL("NOT NULL"))
    if column.default:
        parts.append(sql.SQL("DEFAULT " + column.default))
    if column.unique:
        parts.append(sql.SQL("UNIQUE"))
    if column.references:
        target = contracts[column.references]
        reference = sql.SQL("REFERENCES {} ({}) ON UPDATE CASCADE ON DELETE {}")
        parts.append(reference.format(sql.Identifier(target.table), sql.Identifier(target.key), sql.SQL(column.on_delete)))
    return sql.SQL(" ").join(parts)
