"""Athena reads what the catalog says: registered partitions, their locations, the declared columns."""

import json
from decimal import Decimal

import awswrangler
import boto3
import pyarrow as pa
import pytest

from local_aws.environment import aws_environment
from tests.support.local_aws.lake import DATABASE, declare, finished, register, rows, storage, write
from tests.support.local_aws.machine import LocalAws

KEYS = [{"Name": "day", "Type": "date"}, {"Name": "part", "Type": "int"}]


def test_a_file_that_no_partition_names_is_never_seen(aws: LocalAws, lake: str) -> None:
    declare(aws, "partitioned", {"id": "int"}, KEYS)
    write(aws, "partitioned/day=2024-01-01/part=1/a.parquet", id=pa.array([1], pa.int32()))
    write(aws, "elsewhere/b.parquet", id=pa.array([2], pa.int32()))
    assert rows(aws, "SELECT count(*) FROM partitioned") == [["0"]]
    register(aws, "partitioned", {"id": "int"}, ["2024-01-02", "7"], "s3://lake/elsewhere/")
    answer = rows(aws, "SELECT id, day + INTERVAL '1' DAY, part * 2 FROM partitioned WHERE day = DATE '2024-01-02'")
    assert answer == [["2", "2024-01-03 00:00:00.000", "14"]]


def test_a_moved_location_is_followed_and_an_overwritten_file_is_read_again(aws: LocalAws, lake: str) -> None:
    declare(aws, "moving", {"id": "int"})
    write(aws, "moving/a.parquet", id=pa.array([1], pa.int32()))
    assert rows(aws, "SELECT id FROM moving") == [["1"]]
    write(aws, "moving/a.parquet", id=pa.array([2], pa.int32()))
    assert rows(aws, "SELECT id FROM moving") == [["2"]]
    write(aws, "moved/a.parquet", id=pa.array([3], pa.int32()))
    aws.glue.update_table(
        DatabaseName=DATABASE, TableInput={"Name": "moving", "StorageDescriptor": storage({"id": "int"}, "s3://lake/moved/")}
    )
    assert rows(aws, "SELECT id FROM moving") == [["3"]]


def test_declared_columns_are_the_tables_columns(aws: LocalAws, lake: str) -> None:
    declare(aws, "declared", {"id": "int", "price": "decimal(10,2)", "added": "string"})
    write(aws, "declared/a.parquet", undeclared=pa.array(["x"]), id=pa.array([1], pa.int32()), price=pa.array([Decimal("3.10")]))
    prices = pa.array([Decimal("9.99")], pa.decimal128(10, 2))
    write(aws, "declared/b.parquet", id=pa.array([2], pa.int32()), price=prices, added=pa.array(["y"]))
    failed = finished(aws, "SELECT * FROM declared")
    assert "decimal(10,2)" in failed["Status"]["StateChangeReason"]
    write(aws, "declared/a.parquet", undeclared=pa.array(["x"]), id=pa.array([1], pa.int32()), price=prices)
    assert rows(aws, "SELECT * FROM declared ORDER BY id") == [["1", "9.99", None], ["2", "9.99", "y"]]


def test_a_physical_type_that_is_not_the_declared_one_fails_the_query(aws: LocalAws, lake: str) -> None:
    declare(aws, "mistyped", {"id": "int"})
    write(aws, "mistyped/good.parquet", id=pa.array([1], pa.int32()))
    write(aws, "mistyped/wrong.parquet", id=pa.array([1], pa.int64()))
    status = finished(aws, "SELECT id FROM mistyped")["Status"]
    assert status["State"] == "FAILED"
    assert status["StateChangeReason"] == (
        "HIVE_BAD_DATA: Malformed Parquet file. Field id's type BIGINT in parquet file s3://lake/mistyped/wrong.parquet"
        " is incompatible with type int defined in table schema"
    )


def test_a_partition_that_declares_another_type_fails_the_query(aws: LocalAws, lake: str) -> None:
    declare(aws, "disagreeing", {"id": "int"}, KEYS)
    register(aws, "disagreeing", {"id": "string"}, ["2024-01-01", "1"], "s3://lake/nothing/")
    assert finished(aws, "SELECT * FROM disagreeing")["Status"]["StateChangeReason"].startswith("HIVE_PARTITION_SCHEMA_MISMATCH")


def test_a_partition_of_a_narrower_type_is_read_as_the_tables(aws: LocalAws, lake: str) -> None:
    declare(aws, "widened", {"id": "bigint", "price": "decimal(14,2)"}, KEYS)
    for value, types, kind, digits in (("1", {"id": "int", "price": "decimal(10,2)"}, pa.int32(), 10), ("2", {}, pa.int64(), 14)):
        price = pa.array([Decimal("1.50")], pa.decimal128(digits, 2))
        write(aws, f"widened/{value}/a.parquet", id=pa.array([2**31 - 1], kind), price=price)
        register(aws, "widened", types or {"id": "bigint", "price": "decimal(14,2)"}, ["2024-01-01", value], f"s3://lake/widened/{value}/")
    assert rows(aws, "SELECT id + 1, price FROM widened") == [[str(2**31), "1.50"]] * 2


@pytest.mark.parametrize("declared", ["bigint", "string", "decimal(10,2)"])
def test_a_partition_of_a_type_that_may_lose_something_fails_the_query(aws: LocalAws, lake: str, declared: str) -> None:
    name = f"narrowed_{declared.partition('(')[0]}"
    declare(aws, name, {"id": "decimal(10,3)" if declared.startswith("decimal") else "int"}, KEYS)
    register(aws, name, {"id": declared}, ["2024-01-01", "1"], "s3://lake/nothing/")
    assert finished(aws, f"SELECT * FROM {name}")["Status"]["StateChangeReason"].startswith("HIVE_PARTITION_SCHEMA_MISMATCH")


def test_a_file_of_another_type_than_its_partition_declares_fails_the_query(aws: LocalAws, lake: str) -> None:
    declare(aws, "misdeclared", {"id": "bigint"}, KEYS)
    write(aws, "misdeclared/a.parquet", id=pa.array([1], pa.int64()))
    register(aws, "misdeclared", {"id": "int"}, ["2024-01-01", "1"], "s3://lake/misdeclared/")
    assert finished(aws, "SELECT * FROM misdeclared")["Status"]["StateChangeReason"].startswith("HIVE_BAD_DATA")


def test_every_declared_type_is_read_from_its_parquet_type(aws: LocalAws, lake: str) -> None:
    moment = 1_706_745_600_123_456  # 2024-02-01 00:00:00.123456
    columns = {
        "a": ("boolean", pa.array([True])),
        "b": ("bigint", pa.array([2**40], pa.int64())),
        "c": ("double", pa.array([0.5])),
        "d": ("date", pa.array([19754], pa.date32())),
        "e": ("timestamp", pa.array([moment], pa.timestamp("us"))),
        "f": ("timestamp", pa.array([moment], pa.timestamp("us", tz="UTC"))),
        "g": ("string", pa.array(['O\'Keefe, "08841"'])),
        "h": ("array<string>", pa.array([["x"]])),
        "i": ("smallint", pa.array([3], pa.int16())),
    }
    declare(aws, "all_types", {name: kind for name, (kind, _) in columns.items()})
    write(aws, "all_types/a.parquet", **{name: values for name, (_, values) in columns.items()})
    stamp = "2024-02-01 00:00:00.123"
    expected = ["true", str(2**40), "0.5", "2024-02-01", stamp, stamp, 'O\'Keefe, "08841"', "['x']", "3"]
    assert rows(aws, "SELECT * FROM all_types") == [expected]


def test_tables_join_and_a_csv_table_reads_its_location(aws: LocalAws, lake: str) -> None:
    declare(aws, "joined", {"id": "int", "code": "string"})
    write(aws, "joined/a.parquet", id=pa.array([1], pa.int32()), code=pa.array(["GBP"]))
    text = {
        "Columns": [{"Name": "code", "Type": "string"}, {"Name": "name", "Type": "string"}],
        "Location": "s3://lake/names/",
        "SerdeInfo": {"SerializationLibrary": "org.apache.hadoop.hive.serde2.OpenCSVSerde"},
    }
    aws.glue.create_table(DatabaseName=DATABASE, TableInput={"Name": "names", "StorageDescriptor": text})
    aws.s3.put_object(Bucket="lake", Key="names/a.csv", Body=b'GBP,"Pound, sterling"\n')
    sql = f"WITH j AS (SELECT * FROM {DATABASE}.joined) SELECT j.id, n.name FROM j JOIN names n ON j.code = n.code"
    assert rows(aws, sql) == [["1", "Pound, sterling"]]


def test_a_workgroup_that_enforces_its_location_gets_the_results(aws: LocalAws, lake: str) -> None:
    group = {
        "Type": "AWS::Athena::WorkGroup",
        "Properties": {"Name": "analysts", "WorkGroupConfiguration": {"ResultConfiguration": {"OutputLocation": "s3://results/team"}}},
    }
    aws.stack("analysts", {"Resources": {"Group": group}})
    execution = finished(aws, "SELECT 1 AS one, NULL AS nothing", WorkGroup="analysts")
    location = execution["ResultConfiguration"]["OutputLocation"]
    assert location == f"s3://results/team/{execution['QueryExecutionId']}.csv"
    body = aws.s3.get_object(Bucket="results", Key=location.removeprefix("s3://results/"))["Body"].read()
    assert body.decode() == '"one","nothing"\n"1",\n'


def test_a_query_over_a_bucket_that_is_gone_says_so(aws: LocalAws, lake: str) -> None:
    status = finished(aws, "SELECT 1", ResultConfiguration={"OutputLocation": "s3://no-such-bucket/"})["Status"]
    assert (status["State"], "no-such-bucket" in status["StateChangeReason"]) == ("FAILED", True)


def test_awswrangler_reads_a_query(aws: LocalAws, lake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in aws_environment(aws.endpoint).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    declare(aws, "wrangled", {"id": "int", "name": "string", "price": "decimal(10,2)"})
    prices = pa.array([Decimal("1.50"), None], pa.decimal128(10, 2))
    write(aws, "wrangled/a.parquet", id=pa.array([1, 2], pa.int32()), name=pa.array(["a,b", "08841"]), price=prices)
    frame = awswrangler.athena.read_sql_query(
        "SELECT * FROM wrangled ORDER BY id", database=DATABASE, ctas_approach=False, s3_output="s3://results/wr/"
    )
    assert json.loads(frame.to_json(orient="values", default_handler=str)) == [[1, "a,b", "1.50"], [2, "08841", None]]
