"""dim_counterparty: the counterparties with their legal addresses."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from totesys.transform.tables.derived import conform


def dim_counterparty(counterparties: DataFrame, addresses: DataFrame) -> DataFrame:
    """Return one row per counterparty: the latest state of the company and its address. Without its address a counterparty is left out."""
    has_address = F.col("counterparty.legal_address_id") == F.col("address.address_id")
    rows = counterparties.alias("counterparty").join(addresses.alias("address"), has_address, how="inner")
    return conform(rows, "dim_counterparty", {"batch_seq": F.greatest("counterparty.batch_seq", "address.batch_seq")})
