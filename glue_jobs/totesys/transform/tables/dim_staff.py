"""dim_staff: the staff with their departments."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from totesys.contracts import load_contracts
from totesys.transform.tables.conform import conform


def dim_staff(staff: DataFrame, departments: DataFrame) -> DataFrame:
    """One row per member of staff, latest state of the person and the department. Who has none here is absent until it comes."""
    no_location = load_contracts().warehouse["dim_staff"].column("location").null_becomes
    # Qualified throughout: a contract may give the staff a column that the department has as well.
    of_department = departments.select("department_id", "department_name", "location", "batch_seq").alias("department")
    made = {
        "department_name": F.col("department.department_name"),
        "location": F.coalesce(F.col("department.location"), F.lit(no_location)),
        "batch_seq": F.greatest("staff.batch_seq", "department.batch_seq"),
    }
    return conform(staff.alias("staff").join(of_department, "department_id", how="inner"), "dim_staff", made)
