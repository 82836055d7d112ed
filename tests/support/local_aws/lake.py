"""A lake of Parquet in the catalog, and Athena's answers about it."""

import io
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.support.local_aws.machine import LocalAws, wait_until

DATABASE = "athena_tests"
PARQUET = "org.apache.hadoop.hive.ql.io.parquet"


def write(aws: LocalAws, key: str, **columns: pa.Array) -> None:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    aws.s3.put_object(Bucket="lake", Key=key, Body=file.getvalue())


def storage(columns: dict[str, str], location: str) -> dict[str, Any]:
    return {
        "Columns": [{"Name": name, "Type": kind} for name, kind in columns.items()],
        "Location": location,
        "InputFormat": f"{PARQUET}.MapredParquetInputFormat",
        "SerdeInfo": {"SerializationLibrary": f"{PARQUET}.serde.ParquetHiveSerDe"},
    }


def declare(aws: LocalAws, name: str, columns: dict[str, str], keys: Sequence[dict[str, str]] = ()) -> None:
    descriptor = storage(columns, f"s3://lake/{name}/")
    aws.glue.create_table(DatabaseName=DATABASE, TableInput={"Name": name, "StorageDescriptor": descriptor, "PartitionKeys": list(keys)})


def register(aws: LocalAws, name: str, columns: dict[str, str], values: list[str], location: str) -> None:
    given = {"Values": values, "StorageDescriptor": storage(columns, location)}
    aws.glue.create_partition(DatabaseName=DATABASE, TableName=name, PartitionInput=given)


def finished(aws: LocalAws, sql: str, database: str = DATABASE, **request: Any) -> dict[str, Any]:
    """The execution, once it has ended."""
    athena = aws.client("athena")
    request = {"ResultConfiguration": {"OutputLocation": "s3://results/q/"}, **request}
    query_id = athena.start_query_execution(QueryString=sql, QueryExecutionContext={"Database": database}, **request)["QueryExecutionId"]

    def final() -> dict[str, Any] | None:
        execution: dict[str, Any] = athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
        return None if execution["Status"]["State"] in ("QUEUED", "RUNNING") else execution

    return wait_until(sql, final)  # type: ignore[no-any-return]


def rows(aws: LocalAws, sql: str, **request: Any) -> list[list[str | None]]:
    execution = finished(aws, sql, **request)
    assert execution["Status"]["State"] == "SUCCEEDED", execution["Status"]
    answer = aws.client("athena").get_query_results(QueryExecutionId=execution["QueryExecutionId"])["ResultSet"]["Rows"]
    return [[datum.get("VarCharValue") for datum in row["Data"]] for row in answer[1:]]
