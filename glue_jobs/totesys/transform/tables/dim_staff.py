"""dim_staff: the staff with their departments."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from totesys.transform.tables.derived import conform


def dim_staff(staff: DataFrame, departments: DataFrame) -> DataFrame:
    """Return one row per member of staff: the latest state of the person and the department. Without its department a row is left out."""
    is_theirs = F.col("staff.department_id") == F.col("department.department_id")
    rows = staff.alias("staff").join(departments.alias("department"), is_theirs, how="inner")
    return conform(rows, "dim_staff", {"batch_seq": F.greatest("staff.batch_seq", "department.batch_seq")})
