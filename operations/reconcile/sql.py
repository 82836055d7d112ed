"""SQL that shows the same row as the same text in the source and in the warehouse, derived from the contracts' origins.

A table's rows are `SELECT key, texts`: the key as an integer, and every compared column as text in an array, where a null is no ''.
"""

from __future__ import annotations

from psycopg2 import sql
from totesys.contracts import Column, Contract, Contracts

BUCKET_SIZE = 10_000  # keys per digest: small enough to drill into, large enough that a thousand million keys give few digests

_TO_TEXT = {
    "date": sql.SQL("to_char({}, 'YYYY-MM-DD')"),
    "time": sql.SQL("to_char({}, 'HH24:MI:SS.US')"),  # microseconds: a time that lost or gained digits is another time
}
_AS_IS = sql.SQL("{}::text")


def compared_columns(contract: Contract) -> list[Column]:
    """The columns whose values are a source column's: neither derived nor assigned by the warehouse."""
    return [column for column in contract.columns if _is_copied(column)]


def source_rows(contract: Contract, contracts: Contracts) -> sql.Composed:
    """The rows that the source wants in a warehouse table, from the table of its key joined with its other inputs."""
    base = contracts.source[_origin(contract.column(contract.lake_key))[0]]
    texts = [_source_text(column, contracts) for column in compared_columns(contract)]
    joins = [_join(base, contracts.source[table]) for table in contract.inputs if table != base.table]
    return sql.SQL("SELECT {}::bigint AS key, ARRAY[{}] AS texts FROM {} {}").format(
        sql.Identifier(base.table, base.key), sql.SQL(", ").join(texts), sql.Identifier(base.table), sql.SQL(" ").join(joins)
    )


def warehouse_rows(contract: Contract) -> sql.Composed:
    """The rows that a warehouse table holds now: of a fact, the version with the highest record id."""
    latest = sql.SQL("")
    order = sql.SQL("")
    if contract.version_of:
        key, record_id = sql.Identifier(contract.version_of), sql.Identifier(contract.key)
        latest = sql.SQL("DISTINCT ON ({})").format(key)
        order = sql.SQL("ORDER BY {}, {} DESC").format(key, record_id)
    return sql.SQL("SELECT {} {}::bigint AS key, {} AS texts FROM {} {}").format(
        latest, sql.Identifier(contract.lake_key), _warehouse_texts(contract), sql.Identifier(contract.table), order
    )


def digests(rows: sql.Composed) -> sql.Composed:
    """(bucket, rows, sum of the rows' hashes) per bucket of keys: whatever their order, equal rows give equal sums."""
    return sql.SQL("""
        SELECT key / {size} AS bucket, count(*) AS rows,
            sum(('x' || left(md5(convert_to(texts::text, 'UTF8')), 16))::bit(64)::bigint) AS hash
        FROM ({rows}) AS r GROUP BY 1
    """).format(size=sql.Literal(BUCKET_SIZE), rows=rows)


def rows_of_buckets(rows: sql.Composed) -> sql.Composed:
    """The rows of the buckets given as the parameter, in the order of their keys."""
    return sql.SQL("SELECT key, texts FROM ({}) AS r WHERE key / {} = ANY(%s) ORDER BY key").format(rows, sql.Literal(BUCKET_SIZE))


def duplicate_versions(contract: Contract) -> sql.Composed:
    """(key, record id) of each version of a fact that says the same as the version before it."""
    return sql.SQL("""
        SELECT key, record_id
        FROM (
            SELECT {key}::bigint AS key, {record} AS record_id, {texts} AS texts,
                lag({texts}) OVER (PARTITION BY {key} ORDER BY {record}) AS before
            FROM {table}
        ) AS versions
        WHERE texts = before ORDER BY record_id
    """).format(
        key=sql.Identifier(contract.lake_key),
        record=sql.Identifier(contract.key),
        texts=_warehouse_texts(contract),
        table=sql.Identifier(contract.table),
    )


def _is_copied(column: Column) -> bool:
    return column.assigned_by is None and "." in (column.origin or "") and " " not in (column.origin or "")


def _origin(column: Column) -> tuple[str, str]:
    table, _, name = (column.origin or "").partition(".")
    return table, name


def _source_text(column: Column, contracts: Contracts) -> sql.Composed:
    """A source column as the text that the warehouse column must have. Dates that are text at the source are compared as written."""
    table, name = _origin(column)
    is_timestamp = contracts.source[table].column(name).type == "timestamp"
    form = _TO_TEXT.get(column.warehouse_type or "", _AS_IS) if is_timestamp else _AS_IS
    text = form.format(sql.Identifier(table, name))
    return text if column.null_becomes is None else sql.SQL("coalesce({}, {})").format(text, sql.Literal(column.null_becomes))


def _warehouse_texts(contract: Contract) -> sql.Composed:
    texts = [_TO_TEXT.get(column.warehouse_type or "", _AS_IS).format(sql.Identifier(column.name)) for column in compared_columns(contract)]
    return sql.SQL("ARRAY[{}]").format(sql.SQL(", ").join(texts))


def _join(base: Contract, other: Contract) -> sql.Composed:
    """The join along the foreign key of the base table; there is one, since the contract makes a row of both tables."""
    reference = next(column for column in base.columns if column.references == other.table)
    return sql.SQL("JOIN {} ON {} = {}").format(
        sql.Identifier(other.table), sql.Identifier(other.table, other.key), sql.Identifier(base.table, reference.name)
    )
