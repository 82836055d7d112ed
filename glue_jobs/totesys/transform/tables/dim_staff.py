"""dim_staff: the staff with their departments."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from totesys.contracts import load_contracts
from totesys.transform.tables.conform import conform


def dim_staff(staff: DataFrame, departments: DataFrame) -> DataFrame:
    """One row per member of staff, latest state of the person and the department. Who has none here is absent until it comes."""
    no_location = load_contracts().warehouse["dim_staff"].column("location").null_becomes
    of_department = departments.select("department_id", "department_name", "location", F.col("batch_seq").alias("department_batch_seq"))
    made = {
        "location": F.coalesce(F.col("location"), F.lit(no_location)),
        "batch_seq": F.greatest("batch_seq", "department_batch_seq"),
    }
    return conform(staff.join(of_department, "department_id", how="inner"), "dim_staff", made)
