"""The types that a contract may use, with their names everywhere: the only map of types. Arrow, Spark and SQLAlchemy are not imported here.

In the lake, Glue's names; at the source and in the warehouse, PostgreSQL's. Decimals have digits: decimal(p,s) in the lake, numeric(p,s)
in PostgreSQL.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class LakeType(NamedTuple):
    """Arrow's and Spark's name of a type of the lake, and PostgreSQL's names of the types whose values it holds; text holds the rest."""

    arrow: str
    spark: str
    source: tuple[str, ...] = ()


LAKE_TYPES = {
    "int": LakeType("int32", "integer", ("smallint", "integer")),
    "bigint": LakeType("int64", "long", ("bigint",)),
    "string": LakeType("string", "string"),
    "boolean": LakeType("bool", "boolean", ("boolean",)),
    "date": LakeType("date32", "date", ("date",)),
    "timestamp": LakeType("timestamp[us]", "timestamp_ntz", ("timestamp without time zone",)),  # neither has a zone; the clock is UTC
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
    """All digits of a decimal, and those after the point."""

    precision: int
    scale: int


def digits(type_: str) -> Digits | None:
    """Return the digits of a decimal of the lake or a numeric of PostgreSQL; None for another type."""
    found = _DECIMAL.fullmatch(type_)
    return Digits(int(found[2]), int(found[3])) if found else None


def is_lake_type(type_: object) -> bool:
    """Whether a contract may use the type in the lake."""
    return isinstance(type_, str) and (type_ in LAKE_TYPES or _is_decimal(type_, "decimal"))


def is_warehouse_type(type_: object) -> bool:
    """Whether a contract may use the type in the warehouse."""
    return isinstance(type_, str) and (type_ in WAREHOUSE_TYPES or _is_decimal(type_, "numeric"))


def lake_type(source_type: str) -> str:
    """Return the lake's type for a type as PostgreSQL's format_type names it: string if the lake has no type of its own for it."""
    if _is_decimal(source_type, "numeric"):
        return source_type.replace("numeric", "decimal")
    plain = _PRECISION.sub("", source_type)
    return next((name for name, type_ in LAKE_TYPES.items() if plain in type_.source), "string")


def widens(before: str, after: str) -> bool:
    """Whether a column may change from `before` to `after` without losing a value: the same type, a wider integer, or a decimal of the
    same scale with more digits."""
    if before == after:
        return True
    if before in INTEGER_BITS and after in INTEGER_BITS:
        return INTEGER_BITS[before] <= INTEGER_BITS[after]
    old, new = digits(before), digits(after)
    return bool(old and new and old.scale == new.scale and old.precision <= new.precision)


def is_number(type_: str) -> bool:
    """Whether the type is an integer or a decimal: the types that `widens` compares."""
    return type_ in INTEGER_BITS or digits(type_) is not None


def _is_decimal(type_: str, name: str) -> bool:
    found = digits(type_)
    return bool(found and type_.startswith(name) and 1 <= found.precision <= MOST_DIGITS and found.scale <= found.precision)
