"""The catalog's pointers on moto's Data Catalog."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws
from totesys.errors import FatalError
from totesys.lake.manifests import PartitionState
from totesys.lake.pointers import follow, newest_publish_seq

COLUMNS = [{"Name": "design_id", "Type": "int"}, {"Name": "design_name", "Type": "string"}]


@pytest.fixture
def glue() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("glue", "eu-west-2", aws_access_key_id="x", aws_secret_access_key="x")
        client.create_database(DatabaseInput={"Name": "lake"})
        client.create_table(
            DatabaseName="lake",
            TableInput={
                "Name": "dim_design",
                "PartitionKeys": [{"Name": "key_range", "Type": "int"}],
                "StorageDescriptor": {"Columns": COLUMNS, "Location": "s3://lake/dim_design/"},
            },
        )
        yield client


def state(publish_seq: int) -> PartitionState:
    return PartitionState(prefix=f"star/dim_design/publish_id={publish_seq}/key_range=0/", publish_seq=publish_seq, rows=7, max_batch_seq=1)


def partitions(glue: Any) -> dict[str, Any]:
    pages = glue.get_paginator("get_partitions").paginate(DatabaseName="lake", TableName="dim_design")
    return {partition["Values"][0]: partition for page in pages for partition in page["Partitions"]}


def test_a_new_partition_has_the_columns_of_its_table_and_a_location_of_its_own(glue: Any) -> None:
    assert follow(glue, "lake", "dim_design", {"0": state(1)}, 1, "bucket") == 1
    found = partitions(glue)["0"]
    assert found["StorageDescriptor"]["Columns"] == COLUMNS
    assert found["StorageDescriptor"]["Location"] == "s3://bucket/star/dim_design/publish_id=1/key_range=0/"
    assert found["Parameters"] == {"publish_seq": "1", "rows": "7"}


def test_a_pointer_moves_forward_and_never_back(glue: Any) -> None:
    follow(glue, "lake", "dim_design", {"0": state(9)}, 9, "bucket")
    assert follow(glue, "lake", "dim_design", {"0": state(8)}, 8, "bucket") == 0
    assert follow(glue, "lake", "dim_design", {"0": state(9)}, 9, "bucket") == 0
    assert follow(glue, "lake", "dim_design", {"0": state(10)}, 10, "bucket") == 1
    assert partitions(glue)["0"]["Parameters"]["publish_seq"] == "10"
    assert "publish_id=10/" in partitions(glue)["0"]["StorageDescriptor"]["Location"]


def test_more_partitions_than_one_call_takes_are_all_moved(glue: Any) -> None:
    follow(glue, "lake", "dim_design", {str(value): state(1) for value in range(130)}, 1, "bucket")
    moved = follow(glue, "lake", "dim_design", {str(value): state(2) for value in range(260)}, 2, "bucket")
    assert moved == 260
    assert {found["Parameters"]["publish_seq"] for found in partitions(glue).values()} == {"2"}
    assert len(partitions(glue)) == 260


def test_a_table_that_is_not_registered_is_named_with_the_remedy(glue: Any) -> None:
    with pytest.raises(FatalError, match=r"lake\.missing .*EntityNotFoundException.*scripts/deploy\.sh"):
        follow(glue, "lake", "missing", {"0": state(1)}, 1, "bucket")


def test_a_value_that_the_publish_does_not_have_goes_unless_a_newer_one_brought_it(glue: Any) -> None:
    follow(glue, "lake", "dim_design", {str(value): state(2) for value in range(60)} | {"70": state(9)}, 9, "bucket")
    assert follow(glue, "lake", "dim_design", {"0": state(3)}, 3, "bucket") == 60
    assert set(partitions(glue)) == {"0", "70"}


def test_a_bucket_without_manifests_goes_on_with_the_numbers_of_the_catalog(glue: Any) -> None:
    assert newest_publish_seq(glue, ["lake"]) == 0
    follow(glue, "lake", "dim_design", {"0": state(7), "1": state(8)}, 8, "bucket")
    assert newest_publish_seq(glue, ["lake"]) == 8
