"""The types that a contract may use, with their names in every system. This is the only map of types.

The lake uses Glue's names; the source and the warehouse use PostgreSQL's. A decimal is decimal(p,s) in the lake and numeric(p,s) in
PostgreSQL. This module does not import Arrow, Spark or SQLAlchemy.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class LakeType(NamedTuple):
    """Arrow's and Spark's names of a lake type, and PostgreSQL's names of the types that it stores. `string` stores all other types."""

    arrow: str
    spark: str
    source: tuple[str, ...] = ()


LAKE_TYPES = {
    "int": LakeType("int32", "integer", ("smallint", "integer")),
    "bigint": LakeType("int64", "long", ("bigint",)),
    "string": LakeType("string", "string"),
    "boolean": LakeType("bool", "boolean", ("boolean",)),
    "date": LakeType("date32", "date", ("date",)),
    "timestamp": LakeType("timestamp[us]", "timestamp_ntz", ("timestamp without time zone",)),  # without a zone in every system; UTC
}
WAREHOUSE_TYPES = {  # PostgreSQL's own name, as its catalog prints it
    "int": "integer", "bigint": "bigint", "varchar": "character varying", "date": "date", "time": "time without time zone",
    "boolean": "boolean",
}  # fmt: skip
INTEGER_BITS = {"smallint": 16, "int": 32, "integer": 32, "bigint": 64}
MOST_DIGITS = 38  # of a decimal, in Parquet, Spark and Athena
_DECIMAL = re.compile(r"(decimal|numeric)\((\d+),(\d+)\)")
_PRECISION = re.compile(r"\(\d\)")  # of a timestamp: timestamp(3) without time zone


class Digits(NamedTuple):
    """The number of all digits of a decimal, and of those after the point."""

    precision: int
    scale: int


def digits(type_: str) -> Digits | None:
    """Return the digits of a lake decimal or a PostgreSQL numeric; None for another type."""
    found = _DECIMAL.fullmatch(type_)
    return Digits(int(found[2]), int(found[3])) if found else None


def is_lake_type(type_: object) -> bool:
    """Return whether a contract may use the type in the lake."""
    return isinstance(type_, str) and (type_ in LAKE_TYPES or _is_decimal(type_, "decimal"))


def is_warehouse_type(type_: object) -> bool:
    """Return whether a contract may use the type in the warehouse."""
    return isinstance(type_, str) and (type_ in WAREHOUSE_TYPES or _is_decimal(type_, "numeric"))


def lake_type(source_type: str) -> str:
    """Return the lake type for a type as PostgreSQL's format_type names it. `string` is the default."""
    if _is_decimal(source_type, "numeric"):
        return source_type.replace("numeric", "decimal")
    plain = _PRECISION.sub("", source_type)
    return next((name for name, type_ in LAKE_TYPES.items() if plain in type_.source), "string")


def widens(before: str, after: str) -> bool:
    """Return whether a column may change from `before` to `after` without losing a value.

    That holds for the same type, a wider integer, and a decimal of the same scale with more digits.
    """
    if before == after:
        return True
    if before in INTEGER_BITS and after in INTEGER_BITS:
        return INTEGER_BITS[before] <= INTEGER_BITS[after]
    old, new = digits(before), digits(after)
    return bool(old and new and old.scale == new.scale and old.precision <= new.precision)


def is_number(type_: str) -> bool:
    """Return whether the type is an integer or a decimal: the types that `widens` compares."""
    return type_ in INTEGER_BITS or digits(type_) is not None


def _is_decimal(type_: str, name: str) -> bool:
    found = digits(type_)
    return bool(found and type_.startswith(name) and 1 <= found.precision <= MOST_DIGITS and found.scale <= found.precision)
