"""dim_payment_type: the kinds of payments, one row each."""

from __future__ import annotations

from pyspark.sql import DataFrame

from totesys.transform.tables.conform import conform


def dim_payment_type(payment_types: DataFrame) -> DataFrame:
    """One row per kind of payment, its latest state."""
    return conform(payment_types, "dim_payment_type", {})
