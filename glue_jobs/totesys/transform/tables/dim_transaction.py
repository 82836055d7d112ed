"""dim_transaction: the transactions, one row each."""

from __future__ import annotations

from pyspark.sql import DataFrame

from totesys.transform.tables.conform import conform


def dim_transaction(transactions: DataFrame) -> DataFrame:
    """One row per transaction, its latest state."""
    return conform(transactions, "dim_transaction", {})
