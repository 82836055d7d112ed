"""The warehouse's tables: made from the contracts where they are missing, left alone where they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import Connection
from totesys.contracts import parse_contract
from totesys.errors import BadDataError, FatalError
from totesys.load import staging
from totesys.warehouse.models import staging_table
from totesys.warehouse.server import prepare_warehouse, warehouse_engine

from tests.load.wider import CHECKED, COLOUR, WAREHOUSE, with_column


@pytest.fixture
def session(warehouse) -> Iterator[Connection]:
    """A load's session in an empty warehouse."""
    with warehouse_engine(warehouse.credentials, staging.session_name("00000001")).connect() as connection:
        yield connection


def test_an_empty_warehouse_gets_all_tables_and_views(session):
    views = ["current_payment", "current_purchase_orders", "current_sales_order"]
    waiting = ["waiting_payment", "waiting_purchase_orders", "waiting_sales_order"]
    assert sorted(prepare_warehouse(session, WAREHOUSE)) == sorted(
        [*WAREHOUSE, "format", "load_ledger", "reinserted_version", "reconciliation", "tombstone", *waiting, *views]
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
    query("CREATE TABLE dim_currency (currency_id int, currency_code varchar, currency_name varchar, note text)")
    query("INSERT INTO dim_currency VALUES (1, 'GBP', 'Pound', 'ours')")
    query("ALTER TABLE dim_currency ADD PRIMARY KEY (currency_id)")

    created = prepare_warehouse(session, WAREHOUSE)

    assert "dim_currency" not in created
    assert query("SELECT * FROM dim_currency") == [(1, "GBP", "Pound", "ours")]
    assert prepare_warehouse(session, WAREHOUSE) == []


def test_a_new_nullable_column_is_added_with_its_comment_and_rows_stay(session, query):
    prepare_warehouse(session, WAREHOUSE)
    query("INSERT INTO dim_design VALUES (1, 'Wooden', '/usr', 'wooden.json')")

    assert prepare_warehouse(session, with_column("dim_design", COLOUR)) == ["public.dim_design.colour"]

    assert query("SELECT design_name, colour FROM dim_design") == [("Wooden", None)]
    assert query("SELECT col_description('dim_design'::regclass, 5)") == [("Colour.",)]
    assert prepare_warehouse(session, with_column("dim_design", COLOUR)) == []


def test_a_new_column_of_a_fact_refers_to_its_dimension_and_stands_in_the_view(session, query):
    prepare_warehouse(session, WAREHOUSE)

    made = prepare_warehouse(session, with_column("fact_payment", CHECKED))

    assert (made[0], made[-1]) == ("public.fact_payment.checked_date", "current_payment")

    assert query("SELECT confrelid::regclass::text FROM pg_constraint WHERE conname = 'fact_payment_checked_date_fkey'") == [("dim_date",)]
    assert query("SELECT checked_date FROM current_payment") == []


def test_two_loads_that_add_the_same_column_at_once_both_go_on(session, warehouse):
    prepare_warehouse(session, WAREHOUSE)

    def prepare(attempt):
        with warehouse_engine(warehouse.credentials, staging.session_name(attempt)).connect() as connection:
            return prepare_warehouse(connection, with_column("dim_design", COLOUR))

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(prepare, ["00000002", "00000003"])) == [[], ["public.dim_design.colour"]]


def test_a_column_that_must_not_be_null_is_added_only_while_the_table_is_empty(session, query):
    prepare_warehouse(session, WAREHOUSE)
    required = with_column("dim_design", {**COLOUR, "nullable": False})
    query("INSERT INTO dim_design VALUES (1, 'Wooden', '/usr', 'wooden.json')")

    with pytest.raises(BadDataError, match=r"public.dim_design lacks colour.*ADD COLUMN colour VARCHAR NOT NULL"):
        prepare_warehouse(session, required)

    query("DELETE FROM dim_design")
    assert prepare_warehouse(session, required) == ["public.dim_design.colour"]


def test_a_table_that_lacks_its_key_is_named_and_nothing_is_made(session, query):
    query("CREATE TABLE dim_location (address_line_1 varchar)")

    with pytest.raises(BadDataError, match=r"public.dim_location lacks location_id"):
        prepare_warehouse(session, WAREHOUSE)

    assert query("SELECT to_regclass('dim_staff')") == [(None,)]


@pytest.mark.parametrize("type_", ["varchar(50)", "character(50)", "integer", "bytea"])
def test_a_column_of_another_type_is_named_with_both_types_and_nothing_is_made(session, query, type_):
    query(f"CREATE TABLE dim_currency (currency_id int PRIMARY KEY, currency_code {type_})")

    with pytest.raises(BadDataError, match=r"public.dim_currency .*: currency_code is .* and should be varchar\. Nothing was loaded"):
        prepare_warehouse(session, WAREHOUSE)

    assert query("SELECT to_regclass('dim_staff')") == [(None,)]


@pytest.mark.parametrize(
    ("table", "column", "type_"),
    [
        ("dim_staff", "last_name", 'varchar COLLATE "C"'),
        ("dim_staff", "last_name", "text"),
        ("dim_staff", "last_name", "surname"),
        ("dim_staff", "last_name", "family_name"),
        ("dim_staff", "staff_id", "bigint"),
        ("dim_date", "date_id", "weekday"),
        ("fact_payment", "payment_amount", "numeric(12,2)"),
        ("fact_payment", "payment_amount", "numeric"),
        ("fact_payment", "payment_record_id", "bigint"),
    ],
)
def test_a_column_that_holds_every_value_of_its_type_is_left_as_it_is(session, query, table, column, type_):
    query("CREATE DOMAIN surname AS varchar COLLATE \"C\" CHECK (VALUE <> '')")
    query("CREATE DOMAIN family_name AS surname")
    query("CREATE DOMAIN weekday AS date")
    prepare_warehouse(session, WAREHOUSE)
    query("DROP VIEW current_payment")
    query(f"ALTER TABLE {table} ALTER {column} TYPE {type_}")

    assert prepare_warehouse(session, WAREHOUSE) == ["current_payment"]

    assert query(
        f"SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attname = '{column}'"
    ) == [(type_.replace("varchar", "character varying").partition(" COLLATE")[0],)]


def with_types(table, **types):
    """The warehouse contracts, in which columns of a table have another type in the lake and the warehouse."""
    body = json.loads(WAREHOUSE[table].body)
    columns = [
        {**column, "type": types[column["name"]][0], "warehouse_type": types[column["name"]][1]} if column["name"] in types else column
        for column in body["columns"]
    ]
    contract = parse_contract({**body, "version": body["version"] + 1, "columns": columns})
    return {name: contract if name == table else other for name, other in WAREHOUSE.items()}


WIDER = {
    "payment_record_id": ("bigint", "bigint"), "payment_id": ("bigint", "bigint"), "payment_amount": ("decimal(14,2)", "numeric(14,2)"),
}  # fmt: skip
TYPES = (
    "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = '{}'::regclass"
    " AND attname IN ('payment_record_id', 'payment_id', 'payment_amount') ORDER BY 1"
)


def test_a_wider_contract_widens_the_fact_with_its_serial_what_waits_and_the_view_and_keeps_its_readers(session, query):
    query("DROP ROLE IF EXISTS widened_reader")
    query("CREATE ROLE widened_reader")
    prepare_warehouse(session, WAREHOUSE)
    query("GRANT SELECT ON current_payment TO widened_reader WITH GRANT OPTION")
    query("GRANT SELECT ON current_payment TO PUBLIC")

    made = prepare_warehouse(session, with_types("fact_payment", **WIDER))

    assert sorted(made) == sorted(
        [*(f"public.fact_payment.{name}" for name in WIDER), "etl.waiting_payment.payment_id", "etl.waiting_payment.payment_amount",
         "current_payment"]
    )  # fmt: skip
    wide = [("payment_amount", "numeric(14,2)"), ("payment_id", "bigint"), ("payment_record_id", "bigint")]
    assert query(TYPES.format("fact_payment")) == query(TYPES.format("current_payment")) == wide
    assert query(TYPES.format("etl.waiting_payment")) == wide[:2]
    assert query("SELECT data_type FROM pg_sequences WHERE sequencename = 'fact_payment_payment_record_id_seq'") == [("bigint",)]
    grants = (
        "SELECT grantee, is_grantable FROM information_schema.role_table_grants WHERE table_name = 'current_payment' AND grantee <> grantor"
    )
    assert sorted(query(grants)) == [("PUBLIC", "NO"), ("widened_reader", "YES")]
    assert prepare_warehouse(session, with_types("fact_payment", **WIDER)) == []


def test_going_back_to_the_narrower_contract_leaves_the_wider_columns_and_loads(session, query):
    prepare_warehouse(session, with_types("fact_payment", **WIDER))

    assert prepare_warehouse(session, WAREHOUSE) == []


def test_a_key_is_widened_while_facts_refer_to_it(session, query):
    prepare_warehouse(session, WAREHOUSE)

    assert prepare_warehouse(session, with_types("dim_staff", staff_id=("bigint", "bigint"))) == ["public.dim_staff.staff_id"]


def test_a_column_that_may_be_null_by_a_newer_contract_may_be_null_in_the_warehouse(session, query):
    prepare_warehouse(session, WAREHOUSE)
    body = json.loads(WAREHOUSE["dim_design"].body)
    columns = [{**column, "nullable": column["name"] != "design_id"} for column in body["columns"]]
    contract = parse_contract({**body, "version": 2, "columns": columns})

    changed = prepare_warehouse(session, {**WAREHOUSE, "dim_design": contract})

    assert changed == [f"public.dim_design.{column['name']}" for column in body["columns"][1:]]
    query("INSERT INTO dim_design (design_id) VALUES (1)")


def test_a_table_that_the_loads_role_does_not_own_is_named_with_the_statement_to_run(session, query, warehouse):
    prepare_warehouse(session, WAREHOUSE)
    query("DROP ROLE IF EXISTS widening_load")
    query("CREATE ROLE widening_load LOGIN PASSWORD 'x'")
    query("GRANT ALL ON SCHEMA public, etl TO widening_load")
    query("GRANT ALL ON ALL TABLES IN SCHEMA public, etl TO widening_load")
    credentials = replace(warehouse.credentials, username="widening_load", password="x")

    with warehouse_engine(credentials, staging.session_name("00000002")).connect() as other:
        said = (
            r"public.fact_payment must be widened .* the load's role does not own it. Nothing was loaded: run as its owner"
            r" DROP VIEW IF EXISTS public.current_payment; ALTER TABLE public.fact_payment ALTER COLUMN payment_id TYPE bigint\. The"
        )
        with pytest.raises(FatalError, match=said):
            prepare_warehouse(other, with_types("fact_payment", payment_id=("bigint", "bigint")))

    query("DROP VIEW IF EXISTS public.current_payment")
    query("ALTER TABLE public.fact_payment ALTER COLUMN payment_id TYPE bigint")
    query("ALTER TABLE etl.waiting_payment ALTER COLUMN payment_id TYPE bigint")
    with warehouse_engine(credentials, staging.session_name("00000002")).connect() as other:
        assert "current_payment" in prepare_warehouse(other, with_types("fact_payment", payment_id=("bigint", "bigint")))
    warehouse.execute_as_superuser("DROP OWNED BY widening_load", "DROP ROLE widening_load")


def test_a_view_of_somebody_else_is_named_when_it_stands_in_the_way(session, query):
    prepare_warehouse(session, WAREHOUSE)
    query("CREATE VIEW theirs AS SELECT payment_id FROM fact_payment")

    with pytest.raises(FatalError, match=r"a foreign view or rule reads it: drop that.*ALTER TABLE public.fact_payment"):
        prepare_warehouse(session, with_types("fact_payment", payment_id=("bigint", "bigint")))

    query("DROP VIEW theirs")
    assert "public.fact_payment.payment_id" in prepare_warehouse(session, with_types("fact_payment", payment_id=("bigint", "bigint")))


def test_staging_of_an_attempt_that_lives_is_not_dropped(session, query, warehouse):
    prepare_warehouse(session, WAREHOUSE)
    staging.create(session, [staging_table(WAREHOUSE["dim_staff"], "00000001")])
    with warehouse_engine(warehouse.credentials, staging.session_name("00000002")).connect() as other:
        assert staging.drop_dead(other) == []
        session.close()
        query("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'totesys-load-00000001'")
        assert staging.drop_dead(other) == ["staging_00000001_dim_staff"]
