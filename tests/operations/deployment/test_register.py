"""Registration over live data: what a contract owns changes, and nothing else; Athena's answers stay as they were."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from totesys.contracts import Contracts, load_contracts, parse_contract
from totesys.contracts.registry import registered_contracts
from totesys.lake.catalog_tables import star_table_inputs
from totesys.lake.manifests import PartitionState
from totesys.lake.pointers import follow

from operations.deployment.register import register_table, register_tables
from tests.support.stack import DeployedStack

ROWS = [("1", "GBP", "British Pound"), ("2", "USD", "US Dollar")]


@pytest.fixture
def currencies(stack: DeployedStack) -> Iterator[DeployedStack]:
    """The stack with a published dim_currency: two rows, where its one partition points."""
    rows = [
        {"currency_id": 1, "currency_code": "GBP", "currency_name": "British Pound", "batch_seq": 1},
        {"currency_id": 2, "currency_code": "USD", "currency_name": "US Dollar", "batch_seq": 1},
    ]
    columns = load_contracts().warehouse["dim_currency"].file_columns
    with stack.partition(stack.deployment.star_database, "dim_currency", "0", rows, columns):
        yield stack
    register(stack, load_contracts())


def register(stack: DeployedStack, contracts: Contracts) -> dict[str, int]:
    deployment = stack.deployment
    databases = {
        "ingestion": deployment.ingestion_database, "mirror": deployment.mirror_database, "star": deployment.star_database,
    }  # fmt: skip
    return dict(register_tables(stack.aws.glue, contracts, databases, deployment.ingestion_bucket, deployment.processed_bucket))


def changed(*extra: dict[str, Any]) -> Contracts:
    """The contracts, with another comment on dim_currency and these columns in its middle."""
    contracts = load_contracts()
    body = json.loads(contracts.warehouse["dim_currency"].body)
    first = {**body["columns"][0], "description": "Number of the currency."}
    contract = parse_contract({**body, "version": 2, "columns": [first, *extra, *body["columns"][1:]]})
    return replace(contracts, warehouse={**contracts.warehouse, "dim_currency": contract})


def registered(stack: DeployedStack) -> dict[str, Any]:
    table: dict[str, Any] = stack.aws.glue.get_table(DatabaseName=stack.deployment.star_database, Name="dim_currency")["Table"]
    return table


def test_every_table_says_what_its_rows_and_columns_are(stack: DeployedStack) -> None:
    table = stack.aws.glue.get_table(DatabaseName=stack.deployment.star_database, Name="fact_payment")["Table"]
    assert table["Description"] == "Every version of every payment, without account numbers."
    columns = {column["Name"]: column for column in table["StorageDescriptor"]["Columns"]}
    assert columns["payment_amount"] == {
        "Name": "payment_amount", "Type": "decimal(10,2)", "Comment": "Amount. From payment.payment_amount.",
    }  # fmt: skip
    assert "payment_record_id" not in columns, "the warehouse assigns it"
    assert [key["Name"] for key in table["PartitionKeys"]] == ["batch_day"]
    assert table["Parameters"]["primary_key"] == "payment_id,batch_seq"
    assert table["Parameters"]["classification"] == "parquet"


def test_raw_tables_are_partitioned_by_day_and_batch_and_current_ones_by_range(stack: DeployedStack) -> None:
    deployment, glue = stack.deployment, stack.aws.glue
    raw = glue.get_table(DatabaseName=deployment.ingestion_database, Name="address")["Table"]
    current = glue.get_table(DatabaseName=deployment.mirror_database, Name="address")["Table"]
    assert [key["Name"] for key in raw["PartitionKeys"]] == ["ingest_date", "batch_id"]
    assert [key["Name"] for key in current["PartitionKeys"]] == ["key_range"]
    assert [column["Name"] for column in raw["StorageDescriptor"]["Columns"]][-2:] == ["batch_seq", "source_xid"]
    assert [column["Name"] for column in current["StorageDescriptor"]["Columns"]][-2:] == ["is_deleted", "batch_seq"]
    assert current["StorageDescriptor"]["Location"] == f"s3://{deployment.processed_bucket}/mirror/address/"
    assert current["Parameters"]["nullable_columns"] == "address_line_2,district"


def test_a_new_comment_and_a_new_nullable_column_leave_every_answer_as_it_was(currencies: DeployedStack) -> None:
    question = "SELECT currency_id, currency_code, currency_name FROM dim_currency ORDER BY currency_id"
    assert currencies.ask(question) == ROWS
    minor_unit = {"name": "minor_unit", "type": "int", "warehouse_type": "int", "nullable": True, "description": "Digits after the point."}
    assert register(currencies, changed(minor_unit)) == {"updated": 1, "unchanged": 32}
    assert currencies.ask(question) == ROWS
    assert currencies.ask("SELECT count(*), count(minor_unit) FROM dim_currency") == [("2", "0")]
    table = registered(currencies)
    assert [column["Name"] for column in table["StorageDescriptor"]["Columns"]][:2] == ["currency_id", "minor_unit"]
    assert table["StorageDescriptor"]["Columns"][0]["Comment"].startswith("Number of the currency.")


def test_registering_again_makes_no_version(stack: DeployedStack) -> None:
    before = registered(stack)
    assert register(stack, load_contracts()) == {"unchanged": 33}
    assert registered(stack) == before


def test_a_location_that_a_job_has_moved_and_its_parameters_stay(currencies: DeployedStack) -> None:
    deployment, glue = currencies.deployment, currencies.aws.glue
    moved = f"s3://{deployment.processed_bucket}/dim_currency/publish_id=0000000007-0a1b2c3d/"
    content = star_table_inputs(load_contracts(), deployment.processed_bucket)
    (table,) = [table for table in content if table["Name"] == "dim_currency"]
    table["StorageDescriptor"]["Location"] = moved
    table["Parameters"]["publish_seq"] = "7"
    glue.update_table(DatabaseName=deployment.star_database, TableInput=table)
    assert register(currencies, changed()) == {"updated": 1, "unchanged": 32}
    after = registered(currencies)
    assert (after["StorageDescriptor"]["Location"], after["Parameters"]["publish_seq"]) == (moved, "7")
    assert after["Parameters"]["contract_version"] == "2"


def test_a_change_between_reading_and_writing_is_kept(currencies: DeployedStack) -> None:
    deployment, glue = currencies.deployment, currencies.aws.glue
    stale = registered(currencies)
    kept = ("Name", "Description", "Owner", "TableType", "StorageDescriptor", "PartitionKeys")
    moved = {**{name: stale[name] for name in kept}, "Parameters": {**stale["Parameters"], "publish_seq": "8"}}
    glue.update_table(DatabaseName=deployment.star_database, TableInput=moved)
    wanted = next(table for table in star_table_inputs(changed(), deployment.processed_bucket) if table["Name"] == "dim_currency")
    assert register_table(glue, deployment.star_database, wanted, stale) == "updated"
    assert registered(currencies)["Parameters"]["publish_seq"] == "8"


def test_a_table_that_appears_meanwhile_is_brought_up_to_its_contract(stack: DeployedStack) -> None:
    deployment = stack.deployment
    wanted = next(table for table in star_table_inputs(changed(), deployment.processed_bucket) if table["Name"] == "dim_currency")
    assert register_table(stack.aws.glue, deployment.star_database, wanted, None) == "updated"
    assert register(stack, load_contracts()) == {"updated": 1, "unchanged": 32}


@pytest.mark.parametrize("kind", ["ingestion", "mirror"])
def test_a_registered_table_gives_its_contract_back(stack: DeployedStack, kind: str) -> None:
    assert registered_contracts(stack.aws.glue, getattr(stack.deployment, f"{kind}_database")) == load_contracts().source


def test_moving_data_makes_no_version_and_a_new_contract_makes_one(currencies: DeployedStack) -> None:
    glue, where = currencies.aws.glue, {"DatabaseName": currencies.deployment.star_database, "TableName": "dim_currency"}
    before = glue.get_table_versions(**where)["TableVersions"]
    state = PartitionState("star/dim_currency/publish_id=0000000009-0a1b2c3d/key_range=0/", 9, 2, 1)
    assert follow(glue, where["DatabaseName"], "dim_currency", {"0": state}, 9, currencies.deployment.processed_bucket) == 1
    assert glue.get_table_versions(**where)["TableVersions"] == before
    register(currencies, changed())
    newest, previous = glue.get_table_versions(**where)["TableVersions"][:2]
    assert [json.loads(version["Table"]["Parameters"]["contract"])["version"] for version in (newest, previous)] == [2, 1]
