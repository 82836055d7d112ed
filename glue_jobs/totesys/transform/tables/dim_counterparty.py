"""dim_counterparty: the counterparties with their legal addresses."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from totesys.transform.tables.derived import conform


def dim_counterparty(counterparties: DataFrame, addresses: DataFrame) -> DataFrame:
    """One row per counterparty, latest state of the company and of its address. One without it is absent until it comes."""
    has_address = F.col("counterparty.legal_address_id") == F.col("address.address_id")
    rows = counterparties.alias("counterparty").join(addresses.alias("address"), has_address, how="inner")
    return conform(rows, "dim_counterparty", {"batch_seq": F.greatest("counterparty.batch_seq", "address.batch_seq")})
