"""Parquet files as Athena reads them: the declared columns, without casts. A file with another type is refused."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb

from local_aws.api import Record
from local_aws.s3.objects import Stored

_DUCKDB_TYPES = {
    "boolean": "BOOLEAN",
    "tinyint": "TINYINT",
    "smallint": "SMALLINT",
    "int": "INTEGER",
    "integer": "INTEGER",
    "bigint": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    "string": "VARCHAR",
    "varchar": "VARCHAR",
    "char": "VARCHAR",
    "binary": "BLOB",
}
_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")
_NESTED = ("array", "map", "struct")
# Spark and pyarrow write an instant in any unit, with or without a zone; Athena reads all of them as timestamp.
_SAME_TYPE = {"TIMESTAMP WITH TIME ZONE": "TIMESTAMP", "TIMESTAMP_NS": "TIMESTAMP", "TIMESTAMP_MS": "TIMESTAMP", "TIMESTAMP_S": "TIMESTAMP"}


class BadData(Exception):
    """Data differs from its declaration in the catalog. The message is Athena's."""


def duckdb_type(declared: str) -> str | None:
    """Return DuckDB's type for a declared type, or None for nested types, which are not checked."""
    base, _, rest = declared.lower().strip().partition("(")
    if base == "decimal":
        return f"DECIMAL({rest.rstrip(')').replace(' ', '')})" if rest else "DECIMAL(10,0)"
    if base.startswith(_NESTED):
        return None
    if base not in _DUCKDB_TYPES:
        raise BadData(f"HIVE_METASTORE_ERROR: column type {declared!r} is not known")
    return _DUCKDB_TYPES[base]


class Schemas:
    """The columns of local files, each read once, because a file's path changes with its content."""

    def __init__(self) -> None:
        self._known: dict[Path, dict[str, str]] = {}

    def of(self, file: Path) -> dict[str, str]:
        """Column name in lower case -> DuckDB type."""
        if file not in self._known:
            with duckdb.connect(":memory:") as connection:
                rows = connection.execute("DESCRIBE SELECT * FROM read_parquet(?, hive_partitioning = false)", [str(file)]).fetchall()
            self._known[file] = {name.lower(): _SAME_TYPE.get(kind, kind) for name, kind, *_ in rows}
        return self._known[file]


def can_coerce(declared: str, wanted: str) -> bool:
    """Whether Athena reads a partition's column of type `declared` as the table's type `wanted`. Athena's guide lists integers, and float
    to double ("Change a column data type"); Trino's source also casts decimals of Hive partitions. Only lossless casts are allowed here."""
    before, after = duckdb_type(declared), duckdb_type(wanted)
    if before == after or (before, after) == ("FLOAT", "DOUBLE"):
        return True
    if before in _INTEGERS and after in _INTEGERS:
        return _INTEGERS.index(before) < _INTEGERS.index(after)
    decimals = [_DECIMAL.fullmatch(kind or "") for kind in (before, after)]
    if not (decimals[0] and decimals[1]):
        return False
    return decimals[0][2] == decimals[1][2] and int(decimals[0][1]) <= int(decimals[1][1])


def relation(
    columns: Sequence[Record],
    keys: Sequence[tuple[Record, str]],
    files: Mapping[Path, Stored],
    schemas: Schemas,
    declared: Mapping[str, str] | None = None,
) -> str:
    """Return a SELECT of the table's columns over `files` (at least one), then of the partition keys with their values.

    A column that a file lacks is null. `declared` are the types of the partition's own columns, by name, where a partition has its own.
    Raises BadData for a file whose type of a column is not the declared one.
    """
    held = [schemas.of(path) for path in files]
    of_files = [{**column, "Type": (declared or {}).get(column["Name"], column["Type"])} for column in columns]
    for stored, schema in zip(files.values(), held, strict=True):
        _check(of_files, stored, schema)
    present = set().union(*held)
    selected = [_column(column, column["Name"].lower() in present) for column in columns]
    selected += [f"CAST({_text(value)} AS {duckdb_type(key['Type'])}) AS {_name(key['Name'])}" for key, value in keys]
    sources = ", ".join(_text(str(path)) for path in files)
    return f"SELECT {', '.join(selected)} FROM read_parquet([{sources}], union_by_name = true, hive_partitioning = false)"  # nosec B608


def empty(columns: Sequence[Record]) -> str:
    return f"SELECT {', '.join(_column(column, False) for column in columns)} WHERE false"


def _check(columns: Sequence[Record], stored: Stored, schema: dict[str, str]) -> None:
    for column in columns:
        wanted, found = duckdb_type(column["Type"]), schema.get(column["Name"].lower())
        if wanted and found and found != wanted:
            raise BadData(
                f"HIVE_BAD_DATA: Malformed Parquet file. Field {column['Name']}'s type {found} in parquet file {stored.uri}"
                f" is incompatible with type {column['Type']} defined in table schema"
            )


def _column(column: Record, present: bool) -> str:
    name, kind = _name(column["Name"]), duckdb_type(column["Type"])
    if present:
        return f"CAST({name} AS {kind}) AS {name}" if kind else name
    return f"CAST(NULL AS {kind or 'VARCHAR'}) AS {name}"


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
