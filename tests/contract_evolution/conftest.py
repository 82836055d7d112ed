"""A deployed pipeline in this process, with contract files of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession
from totesys import contracts
from totesys.contracts import load_contracts

from tests.support.local_aws.machine import LocalAws
from tests.support.world import World

CATALOG = Path(__file__).parents[2] / "catalog"


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the contract files, which the package reads instead of its own."""
    shutil.copytree(CATALOG, tmp_path / "catalog")
    monkeypatch.setattr(contracts, "files", lambda package: tmp_path)
    load_contracts.cache_clear()
    yield tmp_path / "catalog"
    load_contracts.cache_clear()


@pytest.fixture
def world(aws: LocalAws, spark: SparkSession, source: Any, warehouse: Any) -> World:
    """A deployed pipeline whose source has its tables and no rows, and whose warehouse is empty."""
    spark.sparkContext._jsc.hadoopConfiguration().set("fs.s3a.endpoint", aws.endpoint)
    world = World(spark, aws.client, source.credentials, warehouse.credentials)
    world.deploy()
    return world


@pytest.fixture
def one_of_each(world: World, source: Any) -> World:
    """The pipeline with a design, an address, and one member of each table that is joined with another, in the source."""
    world.execute(
        source.connect,
        "INSERT INTO design (design_name, file_location, file_name, last_updated) VALUES ('Wooden', '/usr', 'a.json', now())",
        "INSERT INTO department (department_id, department_name, location, last_updated) VALUES (1, 'Sales', 'Leeds', now())",
        "INSERT INTO staff (staff_id, first_name, last_name, department_id, email_address, last_updated)"
        " VALUES (1, 'Ada', 'Byron', 1, 'a@b.c', now())",
        "INSERT INTO address (address_id, address_line_1, city, postal_code, country, phone, last_updated)"
        " VALUES (1, 'High St', 'Leeds', '1', 'UK', '2', now())",
        "INSERT INTO counterparty (counterparty_id, counterparty_legal_name, legal_address_id, last_updated) VALUES (1, 'Frami', 1, now())",
    )
    return world


@pytest.fixture
def one_order(one_of_each: World, source: Any) -> World:
    """The same with sales order 1, in the source alone."""
    one_of_each.execute(
        source.connect,
        "INSERT INTO currency (currency_id, currency_code, last_updated) VALUES (1, 'GBP', now())",
        "INSERT INTO sales_order (sales_order_id, design_id, staff_id, counterparty_id, units_sold, unit_price, currency_id,"
        " agreed_delivery_date, agreed_payment_date, agreed_delivery_location_id, last_updated)"
        " VALUES (1, 1, 1, 1, 10, 3.90, 1, '2026-03-05', '2026-03-04', 1, now())",
    )
    return one_of_each
