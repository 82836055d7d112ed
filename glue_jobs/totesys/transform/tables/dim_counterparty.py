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
    # Qualified throughout: a contract may give the counterparty a column that the address has as well.
    legal_address = addresses.select(F.col("address_id").alias("legal_address_id"), *_LEGAL.values(), "batch_seq").alias("address")
    made = {name: F.col(f"address.{origin}") for name, origin in _LEGAL.items()}
    made["batch_seq"] = F.greatest("counterparty.batch_seq", "address.batch_seq")
    return conform(counterparties.alias("counterparty").join(legal_address, "legal_address_id", how="inner"), "dim_counterparty", made)
