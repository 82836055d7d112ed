"""fact_purchase_orders: every version of every purchase order."""

from __future__ import annotations

from pyspark.sql import DataFrame

from totesys.transform.tables.conform import conform, day_and_time, text_date


def fact_purchase_orders(orders: DataFrame) -> DataFrame:
    """One row per version of a purchase order."""
    made = {
        **day_and_time("created", "created_at"),
        **day_and_time("last_updated", "last_updated"),
        "agreed_delivery_date": text_date("agreed_delivery_date"),
        "agreed_payment_date": text_date("agreed_payment_date"),
    }
    return conform(orders, "fact_purchase_orders", made)
