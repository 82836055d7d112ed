"""The warehouse's tables: made from the contracts where they are missing, left alone where they are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection
from totesys.contracts import load_contracts
from totesys.errors import BadDataError
from totesys.load import staging
from totesys.load.models import staging_table
from totesys.load.warehouse import prepare_warehouse, warehouse_engine

WAREHOUSE = load_contracts().warehouse


@pytest.fixture
def session(warehouse) -> Iterator[Connection]:
    """A load's session in an empty warehouse."""
    with warehouse_engine(warehouse.credentials, staging.session_name("00000001")).connect() as connection:
        yield connection


def test_an_empty_warehouse_gets_all_tables_and_views(session):
    views = ["current_payment", "current_purchase_orders", "current_sales_order"]
    assert sorted(prepare_warehouse(session, WAREHOUSE)) == sorted(
        [*WAREHOUSE, "load_ledger", "put_back", "reconciliation", "tombstone", *views]
    )


def test_columns_have_the_contracts_types_and_nulls(session, query):
    prepare_warehouse(session, WAREHOUSE)

    columns = query(
        "SELECT attrelid::regclass::text, attname, format_type(atttypid, atttypmod), NOT attnotnull FROM pg_attribute"
        " JOIN pg_class ON pg_class.oid = attrelid WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0"
    )
    names = {"int": "integer", "varchar": "character varying", "time": "time without time zone"}
    wanted = [
        (contract.table, column.name, names.get(column.warehouse_type, column.warehouse_type), column.nullable)
        for contract in WAREHOUSE.values()
        for column in contract.columns
    ]
    assert sorted(columns) == sorted(wanted)


def test_facts_have_serial_keys_and_every_date_refers_to_the_calendar(session, query):
    prepare_warehouse(session, WAREHOUSE)

    serials = query("SELECT pg_get_serial_sequence('fact_payment', 'payment_record_id')")
    dates = query(
        "SELECT conrelid::regclass::text, attname FROM pg_constraint JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1]"
        " WHERE contype = 'f' AND confrelid = 'dim_date'::regclass"
    )
    assert serials == [("public.fact_payment_payment_record_id_seq",)]
    assert sorted(dates) == sorted(
        (contract.table, column.name) for contract in WAREHOUSE.values() if contract.kind == "fact" for column in contract.columns
        if column.name.endswith("_date")
    )  # fmt: skip


def test_the_latest_version_of_an_order_is_found_by_an_index(session, query):
    prepare_warehouse(session, WAREHOUSE)

    [(index,)] = query("SELECT indexdef FROM pg_indexes WHERE indexname = 'ix_fact_sales_order_versions'")
    assert index.endswith("(sales_order_id, sales_record_id)")


def test_tables_that_exist_are_left_as_they_are(session, query):
    query("CREATE TABLE dim_currency (currency_id int, currency_code text, currency_name text, note text)")
    query("INSERT INTO dim_currency VALUES (1, 'GBP', 'Pound', 'ours')")
    query("ALTER TABLE dim_currency ADD PRIMARY KEY (currency_id)")

    created = prepare_warehouse(session, WAREHOUSE)

    assert "dim_currency" not in created
    assert query("SELECT * FROM dim_currency") == [(1, "GBP", "Pound", "ours")]
    assert prepare_warehouse(session, WAREHOUSE) == []


def test_a_table_that_lacks_a_column_is_named_with_the_remedy(session, query):
    query("CREATE TABLE dim_location (location_id int PRIMARY KEY)")

    with pytest.raises(BadDataError, match=r"public.dim_location lacks address_line_1.*ADD COLUMN city VARCHAR NOT NULL"):
        prepare_warehouse(session, WAREHOUSE)

    assert query("SELECT to_regclass('dim_staff')") == [(None,)]


def test_staging_of_an_attempt_that_lives_is_not_dropped(session, query, warehouse):
    prepare_warehouse(session, WAREHOUSE)
    staging.create(session, [staging_table(WAREHOUSE["dim_staff"], "00000001")])
    with warehouse_engine(warehouse.credentials, staging.session_name("00000002")).connect() as other:
        assert staging.drop_dead(other) == []
        session.close()
        query("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'totesys-load-00000001'")
        assert staging.drop_dead(other) == ["staging_00000001_dim_staff"]
