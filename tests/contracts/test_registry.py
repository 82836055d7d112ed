"""The Data Catalog as the registry: the contracts come back as they were registered, or an error says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from moto import mock_aws
from totesys.contracts import load_contracts
from totesys.contracts.registry import registered_contracts
from totesys.errors import FatalError
from totesys.lake.catalog_tables import raw_table_inputs


@pytest.fixture
def glue() -> Iterator[Any]:
    """A Data Catalog with an empty database."""
    with mock_aws():
        client = boto3.client("glue", region_name="eu-west-2", aws_access_key_id="test", aws_secret_access_key="test")
        client.create_database(DatabaseInput={"Name": "ingestion"})
        yield client


def register(glue: Any, *tables: str, **parameters: str) -> None:
    source = {table: load_contracts().source[table] for table in tables}
    for table in raw_table_inputs(replace(load_contracts(), source=source), "lake"):
        glue.create_table(DatabaseName="ingestion", TableInput={**table, "Parameters": {**table["Parameters"], **parameters}})


def test_contracts_come_back_as_they_were_registered_parents_first(glue: Any) -> None:
    register(glue, *sorted(load_contracts().source))
    found = registered_contracts(glue, "ingestion")
    assert list(found.items()) == list(load_contracts().source.items())
    assert found["payment"].body == load_contracts().source["payment"].body


@pytest.mark.parametrize("body", ["", "{", "[]", "{}", '{"columns": [{"surprise": 1}]}'])
def test_a_contract_that_cannot_be_read_says_that_a_deploy_is_needed(glue: Any, body: str) -> None:
    register(glue, "design", contract=body)
    with pytest.raises(FatalError, match=r"table ingestion.design .* no readable contract .*: run scripts/deploy.sh"):
        registered_contracts(glue, "ingestion")


def test_a_table_without_a_contract_says_that_a_deploy_is_needed(glue: Any) -> None:
    glue.create_table(DatabaseName="ingestion", TableInput={"Name": "design"})
    with pytest.raises(FatalError, match=r"table ingestion.design .*KeyError in parameter contract\): run scripts/deploy.sh"):
        registered_contracts(glue, "ingestion")


def test_a_database_without_tables_says_that_a_deploy_is_needed(glue: Any) -> None:
    with pytest.raises(FatalError, match=r"database ingestion of the Data Catalog has no tables: run scripts/deploy.sh"):
        registered_contracts(glue, "ingestion")


def test_a_table_whose_parent_is_not_registered_says_so(glue: Any) -> None:
    register(glue, "staff")
    with pytest.raises(FatalError, match=r"ingestion.staff refers to department, which is not registered: run scripts/deploy.sh"):
        registered_contracts(glue, "ingestion")
