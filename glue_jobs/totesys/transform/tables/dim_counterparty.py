"""dim_counterparty: the counterparties with their legal addresses."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from totesys.transform.tables.conform import conform

_LEGAL = {
    "counterparty_legal_address_line_1": "address_line_1",
    "counterparty_legal_address_line_2": "address_line_2",
    "counterparty_legal_district": "district",
    "counterparty_legal_city": "city",
    "counterparty_legal_postal_code": "postal_code",
    "counterparty_legal_country": "country",
    "counterparty_legal_phone_number": "phone",
}


def dim_counterparty(counterparties: DataFrame, addresses: DataFrame) -> DataFrame:
    """One row per counterparty, latest state of the company and of its address. One without it is absent until it comes."""
    legal_addresses = addresses.select(
        F.col("address_id").alias("legal_address_id"), *_LEGAL.values(), F.col("batch_seq").alias("address_batch_seq")
    )
    made = {name: F.col(origin) for name, origin in _LEGAL.items()}
    made["batch_seq"] = F.greatest("batch_seq", "address_batch_seq")
    return conform(counterparties.join(legal_addresses, "legal_address_id", how="inner"), "dim_counterparty", made)
