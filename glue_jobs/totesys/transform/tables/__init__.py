"""One pure module per warehouse table: the current rows (or, for facts, the new versions) of its inputs -> its rows.

Each function takes one DataFrame per input of the table's contract, in the contract's order: the input's columns and batch_seq. It returns
exactly the columns of the contract that the lake holds, and batch_seq, the batch that brought the row. No module here knows a bucket.
"""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import DataFrame

from totesys.transform.tables.dim_counterparty import dim_counterparty
from totesys.transform.tables.dim_currency import dim_currency
from totesys.transform.tables.dim_design import dim_design
from totesys.transform.tables.dim_location import dim_location
from totesys.transform.tables.dim_payment_type import dim_payment_type
from totesys.transform.tables.dim_staff import dim_staff
from totesys.transform.tables.dim_transaction import dim_transaction
from totesys.transform.tables.fact_payment import fact_payment
from totesys.transform.tables.fact_purchase_orders import fact_purchase_orders
from totesys.transform.tables.fact_sales_order import fact_sales_order

# dim_date has no input: dim_date.py makes it from a span of years.
TABLES: dict[str, Callable[..., DataFrame]] = {
    "dim_counterparty": dim_counterparty,
    "dim_currency": dim_currency,
    "dim_design": dim_design,
    "dim_location": dim_location,
    "dim_payment_type": dim_payment_type,
    "dim_staff": dim_staff,
    "dim_transaction": dim_transaction,
    "fact_payment": fact_payment,
    "fact_purchase_orders": fact_purchase_orders,
    "fact_sales_order": fact_sales_order,
}
