"""dim_location: the addresses that goods are delivered to, one row each."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from totesys.transform.tables.conform import conform


def dim_location(addresses: DataFrame) -> DataFrame:
    """One row per address, its latest state."""
    return conform(addresses, "dim_location", {"location_id": F.col("address_id")})
