"""Check rows against their contract, a whole column at a time: which rows are kept out, and why."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from totesys.contracts import UNREADABLE, Column, Contract
from totesys.contracts.arrow_types import arrow_type

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def reasons(batch: pa.RecordBatch, contract: Contract) -> pa.Array | None:
    """Return for each row why it is kept out, or null if it is good. Return None when all rows are good.

    A row with several faults gets the first reason. A reason never contains a value of the row.
    """
    found: pa.Array | None = None
    for is_bad, reason in _failed(batch, contract):
        reason_of = pc.if_else(pc.fill_null(is_bad, False), reason, pa.scalar(None, pa.string()))
        found = reason_of if found is None else pc.coalesce(found, reason_of)
    return found


def _failed(batch: pa.RecordBatch, contract: Contract) -> Iterator[tuple[pa.Array, pa.Array | pa.Scalar]]:
    """Yield every check that some row fails: the rows that fail it, and the reason."""
    unreadable = batch.column(UNREADABLE)
    if unreadable.null_count < len(unreadable):
        texts = [f"{', '.join(json.loads(text))} does not fit the contract's type" if text else None for text in unreadable.to_pylist()]
        yield unreadable.is_valid(), pa.array(texts, pa.string())
    for column in contract.columns:
        values = batch.column(column.name)
        for is_bad, problem in _checks(column, values):
            if pc.any(is_bad).as_py():
                yield is_bad, pa.scalar(f"{column.name} {problem}")


def _checks(column: Column, values: pa.Array) -> Iterator[tuple[pa.Array, str]]:
    if not column.nullable and values.null_count:
        yield values.is_null(), "is null, which the contract does not allow"
    if column.values:
        yield pc.invert(pc.is_in(values, value_set=pa.array([*column.values, None], pa.string()))), "is not one of the contract's values"
    span = f"is outside {column.minimum or ''} to {column.maximum or ''}"
    if column.format == "date":
        texts = pc.unique(values)
        days = [_day(text.as_py()) for text in texts]
        is_day = pa.array([day is not None or not text.is_valid for day, text in zip(days, texts)], pa.bool_())
        is_within = pa.array([day is None or _is_within(column, day) for day in days], pa.bool_())
        yield pc.is_in(values, value_set=texts.filter(pc.invert(is_day))), "is not a date (YYYY-MM-DD)"
        yield pc.is_in(values, value_set=texts.filter(pc.invert(is_within))), span
    elif column.minimum or column.maximum:
        yield from ((is_bad, span) for is_bad in _outside(column, values))


def _outside(column: Column, values: pa.Array) -> Iterator[pa.Array]:
    type_ = arrow_type(column.type)
    if column.minimum:
        yield pc.less(values, pa.scalar(column.minimum).cast(type_))
    if column.maximum and column.type == "timestamp":  # the maximum is a day, which is allowed to its end
        yield pc.greater_equal(values, pa.scalar((date.fromisoformat(column.maximum) + timedelta(days=1)).isoformat()).cast(type_))
    elif column.maximum:
        yield pc.greater(values, pa.scalar(column.maximum).cast(type_))


def _day(text: str | None) -> date | None:
    if text is None or not _DATE.fullmatch(text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _is_within(column: Column, day: date) -> bool:
    return (column.minimum or "") <= day.isoformat() <= (column.maximum or "9999-12-31")
