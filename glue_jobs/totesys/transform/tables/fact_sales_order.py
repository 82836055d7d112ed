"""fact_sales_order: every version of every sales order."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from totesys.transform.tables.conform import conform, day_and_time, text_date


def fact_sales_order(orders: DataFrame) -> DataFrame:
    """One row per version of a sales order."""
    made = {
        **day_and_time("created", "created_at"),
        **day_and_time("last_updated", "last_updated"),
        "sales_staff_id": F.col("staff_id"),
        "agreed_payment_date": text_date("agreed_payment_date"),
        "agreed_delivery_date": text_date("agreed_delivery_date"),
    }
    return conform(orders, "fact_sales_order", made)
