"""Views: stored as Athena stores them, read wherever they are named, refused where Athena refuses them."""

import base64
import json
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from tests.support.local_aws.lake import DATABASE, declare, finished, register, rows, write
from tests.support.local_aws.machine import LocalAws

ELSEWHERE = "views_elsewhere"
COLUMNS = {"id": "int", "price": "decimal(10,2)"}


@pytest.fixture(scope="module")
def prices(aws: LocalAws, lake: str) -> str:
    """A table of two prices and a view of it; and a database that has neither."""
    aws.glue.create_database(DatabaseInput={"Name": ELSEWHERE})
    declare(aws, "prices", COLUMNS)
    amounts = pa.array([Decimal("1.50"), Decimal("3.00")], pa.decimal128(10, 2))
    write(aws, "prices/a.parquet", id=pa.array([1, 2], pa.int32()), price=amounts)
    assert done(aws, "CREATE VIEW dear AS SELECT id, price * 2 AS twice FROM prices WHERE price > 2;") == "SUCCEEDED"
    return "dear"


def done(aws: LocalAws, sql: str, database: str = DATABASE) -> str:
    """SUCCEEDED, or the reason why not."""
    status = finished(aws, sql, database)["Status"]
    return str(status["StateChangeReason"] if status["State"] == "FAILED" else status["State"])


def stored(aws: LocalAws, name: str) -> dict[str, Any]:
    table: dict[str, Any] = aws.glue.get_table(DatabaseName=DATABASE, Name=name)["Table"]
    return table


def test_a_view_is_a_table_of_the_catalog_with_its_statement_and_its_columns(aws: LocalAws, prices: str) -> None:
    table = stored(aws, prices)
    assert (table["TableType"], table["Parameters"]["presto_view"], table["PartitionKeys"]) == ("VIRTUAL_VIEW", "true", [])
    assert table["StorageDescriptor"]["Columns"] == [{"Name": "id", "Type": "int"}, {"Name": "twice", "Type": "decimal(18,2)"}]
    text = table["ViewOriginalText"]
    assert text.startswith("/* Presto View: ") and text.endswith(" */")
    assert json.loads(base64.b64decode(text.removeprefix("/* Presto View: ").removesuffix(" */"))) == {
        "originalSql": "SELECT id, price * 2 AS twice FROM prices WHERE price > 2",
        "catalog": "awsdatacatalog",
        "schema": DATABASE,
        "columns": [{"name": "id", "type": "integer"}, {"name": "twice", "type": "decimal(18,2)"}],
    }


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT twice FROM dear",
        f"SELECT {DATABASE}.dear.twice FROM {DATABASE}.dear",
        "SELECT d.twice FROM prices AS p JOIN dear d ON d.id = p.id",
        "WITH prices AS (SELECT 2 AS id) SELECT twice FROM dear JOIN prices USING (id)",
        "SELECT twice FROM (SELECT * FROM dear)",
    ],
)
def test_a_query_reads_a_view_like_a_table(aws: LocalAws, prices: str, sql: str) -> None:
    assert rows(aws, sql) == [["6.00"]]


def test_a_view_means_the_tables_of_the_database_that_it_was_made_in(aws: LocalAws, prices: str) -> None:
    assert rows(aws, f"SELECT twice FROM {DATABASE}.dear", database=ELSEWHERE) == [["6.00"]]
    assert done(aws, f"CREATE VIEW {ELSEWHERE}.cheap AS SELECT id FROM prices WHERE price < 2") == "SUCCEEDED"
    assert rows(aws, "SELECT id FROM cheap", database=ELSEWHERE) == [["1"]]


def test_a_view_of_views_follows_the_data(aws: LocalAws, prices: str) -> None:
    columns = {"id": "int"}
    declare(aws, "growing", columns, [{"Name": "day", "Type": "string"}])
    assert done(aws, "CREATE VIEW grown AS WITH g AS (SELECT * FROM growing) SELECT day, count(*) AS n FROM g GROUP BY day") == "SUCCEEDED"
    assert done(aws, "CREATE VIEW grown_more AS SELECT n + 1 AS more FROM grown") == "SUCCEEDED"
    assert rows(aws, "SELECT more FROM grown_more") == []
    write(aws, "grown/a.parquet", id=pa.array([7], pa.int32()))
    register(aws, "growing", columns, ["2024-01-01"], "s3://lake/grown/")
    assert rows(aws, "SELECT more FROM grown_more") == [["2"]]


def test_a_view_is_replaced_only_when_the_statement_says_so(aws: LocalAws, prices: str) -> None:
    assert done(aws, "CREATE OR REPLACE VIEW changing AS SELECT 1 AS a") == "SUCCEEDED"
    assert done(aws, "CREATE VIEW changing AS SELECT 2 AS b") == (
        f"TABLE_ALREADY_EXISTS: line 1:1: View 'awsdatacatalog.{DATABASE}.changing' already exists"
    )
    assert rows(aws, "SELECT * FROM changing") == [["1"]]
    assert done(aws, "create or replace view Changing as select 'x' as b, DATE '2024-02-01' AS c") == "SUCCEEDED"
    assert rows(aws, "SELECT * FROM changing") == [["x", "2024-02-01"]]
    assert [column["Type"] for column in stored(aws, "changing")["StorageDescriptor"]["Columns"]] == ["string", "date"]


def test_a_view_that_is_dropped_is_gone(aws: LocalAws, prices: str) -> None:
    assert done(aws, "CREATE VIEW passing AS SELECT 1 AS a") == "SUCCEEDED"
    assert done(aws, f"DROP VIEW {DATABASE}.passing") == "SUCCEEDED"
    with pytest.raises(aws.glue.exceptions.EntityNotFoundException):
        stored(aws, "passing")
    assert done(aws, "DROP VIEW passing").startswith("TABLE_NOT_FOUND: ")
    assert done(aws, "DROP VIEW IF EXISTS passing") == "SUCCEEDED"
    assert "Did you mean DROP TABLE prices?" in done(aws, "DROP VIEW IF EXISTS prices")


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("CREATE VIEW refused AS SELECT nope FROM prices", 'COLUMN_NOT_FOUND: Referenced column "nope" not found'),
        ("CREATE VIEW refused AS SELECT p.nope FROM prices AS p", "COLUMN_NOT_FOUND: "),
        ("CREATE VIEW refused AS SELECT * FROM nowhere", "TABLE_NOT_FOUND: Table with name nowhere does not exist"),
        ("CREATE VIEW refused AS SELECT nope(id) AS a FROM prices", "FUNCTION_NOT_FOUND: "),
        ("CREATE VIEW refused AS SELECT FROM WHERE", "SYNTAX_ERROR: "),
        ("CREATE VIEW refused SELECT 1 AS a", "SYNTAX_ERROR: line 1:1: expected CREATE"),
        ("CREATE VIEW refused AS SELECT 1 AS a, count(*) FROM prices", "MISSING_COLUMN_NAME: Column name not specified at position 2"),
        ("CREATE VIEW refused AS SELECT id, price AS id FROM prices", "DUPLICATE_COLUMN_NAME: Column name 'id' specified more than once"),
        ("CREATE VIEW nowhere.refused AS SELECT 1 AS a", "SCHEMA_NOT_FOUND: line 1:1: Schema 'nowhere' does not exist"),
        (
            "CREATE OR REPLACE VIEW prices AS SELECT 1 AS a",
            "TABLE_ALREADY_EXISTS: line 1:1: 'awsdatacatalog.athena_tests.prices' is a table",
        ),
        ("CREATE OR REPLACE VIEW dear AS SELECT * FROM dear", "VIEW_IS_RECURSIVE: View 'awsdatacatalog.athena_tests.dear' is recursive"),
        ("DROP VIEW", "SYNTAX_ERROR: line 1:1: expected DROP VIEW"),
    ],
)
def test_a_statement_that_makes_no_view_is_refused_and_makes_none(aws: LocalAws, prices: str, statement: str, reason: str) -> None:
    before = {table["Name"]: table["VersionId"] for table in aws.glue.get_tables(DatabaseName=DATABASE)["TableList"]}
    assert done(aws, statement).startswith(reason)
    assert {table["Name"]: table["VersionId"] for table in aws.glue.get_tables(DatabaseName=DATABASE)["TableList"]} == before
