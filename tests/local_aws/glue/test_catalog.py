"""Catalog calls: versions, the optimistic lock, and partitions in batches."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.local_aws.machine import LocalAws


def table(name: str, location: str = "s3://lake/t/", **more: Any) -> dict[str, Any]:
    columns = [{"Name": "id", "Type": "int"}]
    return {"Name": name, "StorageDescriptor": {"Columns": columns, "Location": location}, "TableType": "EXTERNAL_TABLE", **more}


def partition(*values: str, location: str = "s3://lake/p/") -> dict[str, Any]:
    return {"Values": list(values), "StorageDescriptor": {"Columns": [{"Name": "id", "Type": "int"}], "Location": location}}


@pytest.fixture(scope="module")
def database(aws: LocalAws) -> str:
    aws.glue.create_database(DatabaseInput={"Name": "catalog_tests"})
    return "catalog_tests"


@pytest.fixture
def dated(aws: LocalAws, database: str, request: pytest.FixtureRequest) -> dict[str, str]:
    """A table with the keys day (date) and part (int), and three partitions."""
    name = request.node.name.lower()[:100]
    keys = [{"Name": "day", "Type": "date"}, {"Name": "part", "Type": "int"}]
    aws.glue.create_table(DatabaseName=database, TableInput=table(name, PartitionKeys=keys))
    where = {"DatabaseName": database, "TableName": name}
    inputs = [partition("2024-01-31", "2"), partition("2024-02-01", "2"), partition("2024-02-01", "10")]
    assert aws.glue.batch_create_partition(**where, PartitionInputList=inputs)["Errors"] == []
    return where


def test_an_update_replaces_the_whole_table_and_keeps_the_old_version(aws: LocalAws, database: str) -> None:
    aws.glue.create_table(DatabaseName=database, TableInput=table("versions", Description="first", Parameters={"a": "1"}))
    aws.glue.update_table(DatabaseName=database, TableInput=table("versions", "s3://lake/other/"))
    current = aws.glue.get_table(DatabaseName=database, Name="versions")["Table"]
    assert (current.get("Description"), current["Parameters"], current["Owner"]) == (None, {}, "hadoop")
    versions = aws.glue.get_table_versions(DatabaseName=database, TableName="versions")["TableVersions"]
    assert [version["Table"]["StorageDescriptor"]["Location"] for version in versions] == ["s3://lake/other/", "s3://lake/t/"]
    oldest = versions[-1]["VersionId"]
    found = aws.glue.get_table_version(DatabaseName=database, TableName="versions", VersionId=oldest)["TableVersion"]
    assert found["Table"]["Description"] == "first"


def test_an_update_that_skips_the_archive_leaves_no_version(aws: LocalAws, database: str) -> None:
    aws.glue.create_table(DatabaseName=database, TableInput=table("pointer"))
    aws.glue.update_table(DatabaseName=database, TableInput=table("pointer", "s3://lake/next/"), SkipArchive=True)
    versions = aws.glue.get_table_versions(DatabaseName=database, TableName="pointer")["TableVersions"]
    assert [version["Table"]["StorageDescriptor"]["Location"] for version in versions] == ["s3://lake/next/"]


def test_an_update_from_an_old_version_is_refused(aws: LocalAws, database: str) -> None:
    aws.glue.create_table(DatabaseName=database, TableInput=table("locked"))
    seen = aws.glue.get_table(DatabaseName=database, Name="locked")["Table"]["VersionId"]
    aws.glue.update_table(DatabaseName=database, TableInput=table("locked", "s3://lake/one/"), VersionId=seen, SkipArchive=True)
    with pytest.raises(aws.glue.exceptions.ConcurrentModificationException):
        aws.glue.update_table(DatabaseName=database, TableInput=table("locked", "s3://lake/two/"), VersionId=seen)
    assert aws.glue.get_table(DatabaseName=database, Name="locked")["Table"]["StorageDescriptor"]["Location"] == "s3://lake/one/"


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("day = '2024-02-01'", [["2024-02-01", "2"], ["2024-02-01", "10"]]),
        ("day >= '2024-02-01' AND part > 9", [["2024-02-01", "10"]]),
        ("part IN (2) AND day BETWEEN '2024-01-01' AND '2024-01-31'", [["2024-01-31", "2"]]),
    ],
)
def test_an_expression_chooses_partitions_by_typed_values(
    aws: LocalAws, dated: dict[str, str], expression: str, found: list[list[str]]
) -> None:
    assert [p["Values"] for p in aws.glue.get_partitions(**dated, Expression=expression)["Partitions"]] == found


def test_an_expression_that_cannot_be_read_is_refused(aws: LocalAws, dated: dict[str, str]) -> None:
    with pytest.raises(aws.glue.exceptions.InvalidInputException, match="no_such_key"):
        aws.glue.get_partitions(**dated, Expression="no_such_key = 1")


def test_a_batch_create_reports_what_exists_and_creates_the_rest(aws: LocalAws, dated: dict[str, str]) -> None:
    inputs = [partition("2024-02-01", "2"), partition("2024-02-02", "1")]
    (error,) = aws.glue.batch_create_partition(**dated, PartitionInputList=inputs)["Errors"]
    assert (error["PartitionValues"], error["ErrorDetail"]["ErrorCode"]) == (["2024-02-01", "2"], "AlreadyExistsException")
    assert len(aws.glue.get_partitions(**dated)["Partitions"]) == 4


def test_a_partition_moves_its_location_and_keeps_its_values(aws: LocalAws, dated: dict[str, str]) -> None:
    values = ["2024-01-31", "2"]
    aws.glue.update_partition(**dated, PartitionValueList=values, PartitionInput=partition(*values, location="s3://lake/new/"))
    assert aws.glue.get_partition(**dated, PartitionValues=values)["Partition"]["StorageDescriptor"]["Location"] == "s3://lake/new/"
    with pytest.raises(aws.glue.exceptions.InvalidInputException):
        aws.glue.update_partition(**dated, PartitionValueList=values, PartitionInput=partition("2024-01-30", "2"))
    with pytest.raises(aws.glue.exceptions.EntityNotFoundException):
        aws.glue.update_partition(**dated, PartitionValueList=["2020-01-01", "0"], PartitionInput=partition("2020-01-01", "0"))


def test_batches_update_get_and_delete_partitions(aws: LocalAws, dated: dict[str, str]) -> None:
    values, unknown = ["2024-01-31", "2"], ["2020-01-01", "0"]
    entries = [{"PartitionValueList": v, "PartitionInput": partition(*v, location="s3://lake/new/")} for v in (values, unknown)]
    (error,) = aws.glue.batch_update_partition(**dated, Entries=entries)["Errors"]
    assert (error["PartitionValueList"], error["ErrorDetail"]["ErrorCode"]) == (unknown, "EntityNotFoundException")
    got = aws.glue.batch_get_partition(**dated, PartitionsToGet=[{"Values": values}, {"Values": unknown}])
    assert [p["StorageDescriptor"]["Location"] for p in got["Partitions"]] == ["s3://lake/new/"]
    assert got["UnprocessedKeys"] == [{"Values": unknown}]
    (error,) = aws.glue.batch_delete_partition(**dated, PartitionsToDelete=[{"Values": values}, {"Values": unknown}])["Errors"]
    assert error["PartitionValues"] == unknown
    assert len(aws.glue.get_partitions(**dated)["Partitions"]) == 2
    with pytest.raises(ClientError, match="at most 25"):
        aws.glue.batch_delete_partition(**dated, PartitionsToDelete=[{"Values": [str(n), "0"]} for n in range(26)])
