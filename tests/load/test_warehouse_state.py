"""How far the warehouse has come is asked of the warehouse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from totesys.errors import FatalError, RetriableError
from totesys.warehouse.state import loaded_through

from local_totesys.postgres import free_port
from tests.conftest import Database
from tests.load.conftest import goes_on_from
from tests.load.lake import PublishedLake, sales_order

Query = Callable[..., list[tuple]]


def test_an_empty_warehouse_holds_batch_0(warehouse: Database) -> None:
    assert loaded_through(warehouse.credentials) == 0


@goes_on_from("one_order")
def test_a_loaded_warehouse_holds_the_newest_batch_of_its_ledger(
    lake: PublishedLake, load: Callable[..., Any], warehouse: Database
) -> None:
    assert loaded_through(warehouse.credentials) == 1
    lake.publish(7, {"fact_sales_order": [sales_order(1, units_sold=43)]})
    load()
    assert loaded_through(warehouse.credentials) == 7


@goes_on_from("one_order")
def test_a_warehouse_that_lost_its_ledger_holds_batch_0(query: Query, warehouse: Database) -> None:
    query("TRUNCATE etl.load_ledger")
    assert loaded_through(warehouse.credentials) == 0
    query("DROP SCHEMA etl CASCADE")
    assert loaded_through(warehouse.credentials) == 0


def test_a_warehouse_that_is_down_is_named_with_the_reason(warehouse: Database) -> None:
    broken = r"warehouse .* on 127.0.0.1:\d+ cannot be reached while reading its ledger \(.*[Cc]onnection refused"
    with pytest.raises(RetriableError, match=broken):
        loaded_through(replace(warehouse.credentials, port=free_port()))


@goes_on_from("one_order")
def test_a_role_that_may_not_read_the_ledger_is_told_of_the_deploy(query: Query, warehouse: Database) -> None:
    query("DROP ROLE IF EXISTS stranger")
    query("CREATE ROLE stranger LOGIN PASSWORD 'stranger'")
    with pytest.raises(FatalError, match=r"permission denied for schema etl, SQLSTATE 42501\): run scripts/deploy\.sh"):
        loaded_through(replace(warehouse.credentials, username="stranger", password="stranger"))
    query("DROP ROLE stranger")


@goes_on_from("one_order")
def test_a_warehouse_that_does_not_answer_is_given_up_soon(warehouse: Database) -> None:
    holder = warehouse.connect()
    with holder.cursor() as cursor:
        cursor.execute("LOCK TABLE etl.load_ledger IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(RetriableError, match="canceling statement due to"):
            loaded_through(warehouse.credentials)
    holder.close()
