"""SQL, derived from the contracts' origins, that gives equal rows of source and warehouse the same text.

A table's rows are `SELECT key, texts, is_deleted`: the key as an integer, every compared column as text in an array, in which null
differs from '', and whether the lake knows the key as deleted at the source.
"""

from __future__ import annotations

from psycopg2 import sql
from totesys.contracts import Column, Contract, Contracts
from totesys.warehouse.models import ETL_SCHEMA, reinserted_version_table, tombstone_table, waiting_table

from operations.reconcile.live import WarehouseTable, to_text

BUCKET_SIZE = 10_000  # keys per digest: few enough to compare row by row, and many enough that all keys of an integer give few digests
SOURCE_SCHEMA = "public"
TOMBSTONES = sql.Identifier(ETL_SCHEMA, tombstone_table().name)
REINSERTED = sql.Identifier(ETL_SCHEMA, reinserted_version_table().name)


def compared_columns(table: WarehouseTable) -> list[Column]:
    """Return the columns of the warehouse whose values come from a source column: neither derived nor assigned by the warehouse."""
    return [column for column in table.contract.columns if _is_copied(column) and column.name in table.texts]


def source_rows(table: WarehouseTable, contracts: Contracts) -> sql.Composed:
    """Return SQL for the rows that a warehouse table should have: the source table of its key, joined with its other inputs."""
    base = contracts.source[key_origin(table.contract)]
    texts = [_source_text(column, contracts) for column in compared_columns(table)]
    joins = [_join(base, contracts.source[name]) for name in table.contract.inputs if name != base.table]
    return sql.SQL("SELECT {}::bigint AS key, ARRAY[{}]::text[] AS texts, false AS is_deleted FROM {} {}").format(
        sql.Identifier(base.table, base.key), sql.SQL(", ").join(texts), sql.Identifier(SOURCE_SCHEMA, base.table), sql.SQL(" ").join(joins)
    )


def warehouse_rows(table: WarehouseTable) -> sql.Composed:
    """Return SQL for the rows that a warehouse table holds now. For a fact, these are the versions with the highest record id."""
    contract = table.contract
    key = table.values[contract.lake_key]
    latest = order = sql.Composed([])
    if contract.version_of:
        latest = sql.SQL("DISTINCT ON ({})").format(key)
        # both descending: the index on key and record id, read backwards, avoids a sort
        order = sql.SQL("ORDER BY {} DESC, {} DESC").format(key, table.values[contract.key])
    return sql.SQL("""
        SELECT held.key, texts, tombstone.key IS NOT NULL AS is_deleted
        FROM (SELECT {} {}::bigint AS key, {} AS texts FROM {} WHERE {} IS NOT NULL {}) AS held
        LEFT JOIN {} AS tombstone ON tombstone.source_table = {} AND tombstone.key = held.key
    """).format(latest, key, _warehouse_texts(table), table.name, key, order, TOMBSTONES, sql.Literal(key_origin(contract)))


def digests(rows: sql.Composed) -> sql.Composed:
    """Return SQL for (bucket, live rows, sum of their hashes, deleted rows) per bucket of keys. Their order does not matter."""
    return sql.SQL("""
        SELECT key / {size} AS bucket, count(*) FILTER (WHERE NOT is_deleted) AS rows,
            sum(('x' || left(md5(convert_to(texts::text, 'UTF8')), 16))::bit(64)::bigint) FILTER (WHERE NOT is_deleted) AS hash,
            count(*) FILTER (WHERE is_deleted) AS deleted
        FROM ({rows}) AS r GROUP BY 1
    """).format(size=sql.Literal(BUCKET_SIZE), rows=rows)


def rows_of_buckets(rows: sql.Composed) -> sql.Composed:
    """Return SQL for the rows of the buckets in the parameter, in the order of their keys."""
    return sql.SQL("SELECT key, texts, is_deleted FROM ({}) AS r WHERE key / {} = ANY(%s) ORDER BY key").format(
        rows, sql.Literal(BUCKET_SIZE)
    )


def count_rows(rows: sql.Composable) -> sql.Composed:
    """Return SQL for the number of rows of a table or a query."""
    return sql.SQL("SELECT count(*) FROM {} AS r").format(rows)


def lost_rows(table: WarehouseTable) -> sql.Composed:
    """Return SQL for the keys that the lake knows as deleted and that the warehouse lacks. It should keep every row that it ever had."""
    return sql.SQL("""
        SELECT tombstone.key FROM {} AS tombstone
        WHERE tombstone.source_table = {} AND NOT EXISTS (SELECT FROM {} WHERE {} = tombstone.key) ORDER BY 1
    """).format(TOMBSTONES, sql.Literal(key_origin(table.contract)), table.name, table.values[table.contract.lake_key])


def waiting_rows(contract: Contract) -> sql.Composed:
    """Return SQL for the rows of a fact that wait for a parent."""
    return sql.SQL("(SELECT * FROM {} WHERE went_in_after IS NULL)").format(sql.Identifier(ETL_SCHEMA, waiting_table(contract).name))


def parents_of_waiting(contract: Contract, key: int) -> sql.Composed:
    """Return SQL for the dimensions that the waiting versions of one key wait for; null when none waits."""
    return sql.SQL(
        "SELECT string_agg(DISTINCT dimension, ', ') FROM {} AS r CROSS JOIN unnest(waits_for) AS dimension WHERE {} = {}"
    ).format(waiting_rows(contract), sql.Identifier(contract.lake_key), sql.Literal(key))


def joined_key(contract: Contract, contracts: Contracts, other: str, key: int) -> sql.Composed:
    """Return SQL for the key of the other input's row that a row is joined with at the source."""
    base = contracts.source[key_origin(contract)]
    return sql.SQL("SELECT max({}) FROM {} WHERE {} = {}").format(
        sql.Identifier(_reference(base, other).name), sql.Identifier(SOURCE_SCHEMA, base.table), sql.Identifier(base.key), sql.Literal(key)
    )


def duplicate_versions(table: WarehouseTable) -> sql.Composed:
    """Return SQL for (key, record id) of each version that repeats the version before it, without reinserted rows."""
    return sql.SQL("""
        SELECT key, record_id
        FROM (
            SELECT key, record_id, row_number() OVER (PARTITION BY key ORDER BY record_id) AS repeats
            FROM (
                SELECT {key}::bigint AS key, {record} AS record_id, {texts} AS texts,
                    lag({texts}) OVER (PARTITION BY {key} ORDER BY {record}) AS before
                FROM {table}
            ) AS versions
            WHERE texts = before
        ) AS repeated
        WHERE repeats > (SELECT count(*) FROM {reinserted} AS p WHERE p.fact_table = {name} AND p.key = repeated.key)
        ORDER BY record_id
    """).format(
        reinserted=REINSERTED,
        name=sql.Literal(table.contract.table),
        key=table.values[table.contract.lake_key],
        record=table.values[table.contract.key],
        texts=_warehouse_texts(table),
        table=table.name,
    )


def _is_copied(column: Column) -> bool:
    return column.assigned_by is None and "." in (column.origin or "") and " " not in (column.origin or "")


def _origin(column: Column) -> tuple[str, str]:
    table, _, name = (column.origin or "").partition(".")
    return table, name


def key_origin(contract: Contract) -> str:
    """Return the source table that the warehouse table's key comes from."""
    return _origin(contract.column(contract.lake_key))[0]


def _source_text(column: Column, contracts: Contracts) -> sql.Composed:
    """Return a source column as the text that the warehouse column must have. Dates that are text at the source are compared as text."""
    table, name = _origin(column)
    value = sql.Identifier(table, name)
    is_timestamp = contracts.source[table].column(name).type == "timestamp"
    text = to_text(column, value) if is_timestamp else sql.SQL("{}::text").format(value)
    return text if column.null_becomes is None else sql.SQL("coalesce({}, {})").format(text, sql.Literal(column.null_becomes))


def _warehouse_texts(table: WarehouseTable) -> sql.Composed:
    return sql.SQL("ARRAY[{}]::text[]").format(sql.SQL(", ").join(table.texts[column.name] for column in compared_columns(table)))


def _join(base: Contract, other: Contract) -> sql.Composed:
    """Return the join along the foreign key of the base table. There is exactly one, because the contract makes a row from both tables."""
    reference = _reference(base, other.table)
    return sql.SQL("JOIN {} ON {} = {}").format(
        sql.Identifier(SOURCE_SCHEMA, other.table), sql.Identifier(other.table, other.key), sql.Identifier(base.table, reference.name)
    )


def _reference(base: Contract, other: str) -> Column:
    return next(column for column in base.columns if column.references == other)
