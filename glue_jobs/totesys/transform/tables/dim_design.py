"""dim_design: the designs, one row each."""

from __future__ import annotations

from pyspark.sql import DataFrame

from totesys.transform.tables.conform import conform


def dim_design(designs: DataFrame) -> DataFrame:
    """One row per design, its latest state."""
    return conform(designs, "dim_design", {})
