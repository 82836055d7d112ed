"""Make the rows of each warehouse table from the mirrors of its inputs or, for facts, from new versions. No module here knows a bucket.

Each function takes one DataFrame per input of the table's contract, in the contract's order. Each has the input's columns and batch_seq;
for facts, also the lineage of a fact. The function returns exactly the contract's lake columns and the lineage.
A table with a join or a rule has its own module. All other tables are derived from their contracts.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pyspark.sql import DataFrame

from totesys.transform.tables.derived import derived
from totesys.transform.tables.dim_counterparty import dim_counterparty
from totesys.transform.tables.dim_currency import dim_currency
from totesys.transform.tables.dim_staff import dim_staff

_WITH_RULES: dict[str, Callable[..., DataFrame]] = {
    "dim_counterparty": dim_counterparty,
    "dim_currency": dim_currency,
    "dim_staff": dim_staff,
}


def rows_of(table: str, *inputs: DataFrame) -> DataFrame:
    """Return the rows of a warehouse table, except dim_date. dim_date has no input: dim_date.py makes it from a span of years."""
    return _WITH_RULES.get(table, partial(derived, table))(*inputs)
