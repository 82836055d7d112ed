"""fact_payment: every version of every payment."""

from __future__ import annotations

from pyspark.sql import DataFrame

from totesys.transform.tables.conform import conform, day_and_time, text_date


def fact_payment(payments: DataFrame) -> DataFrame:
    """One row per version of a payment. The account numbers stay behind."""
    made = {
        **day_and_time("created", "created_at"),
        **day_and_time("last_updated", "last_updated"),
        "payment_date": text_date("payment_date"),
    }
    return conform(payments, "fact_payment", made)
