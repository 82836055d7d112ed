"""Values from the source to typed Parquet, exactly."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from totesys.contracts import RAW_LINEAGE, Column, load_contracts
from totesys.contracts.arrow_types import arrow_schema

from tests.ingest.designs import STAMP, insert

ADDRESS = (
    "INSERT INTO address (address_id, address_line_1, address_line_2, district, city, postal_code, country, phone, created_at, "
    "last_updated) VALUES (1, %s, %s, %s, %s, %s, %s, %s, '2024-01-05 09:00:00.001', '1999-12-31 23:59:59.999')"
)


def insert_address(ingest: Any, *texts: str | None) -> None:
    connection = ingest.source.connect()
    with connection, connection.cursor() as cursor:
        cursor.execute(ADDRESS, texts)
    connection.close()


def test_text_nulls_and_empty_strings_arrive_as_they_are(ingest: Any) -> None:
    texts = ('O\'Keefe, "Sons" & \\N', None, "", "two\nlines\r\nand\ttabs", "08841", "Democratic People's Republic of Korea", "ünïcödé \\.")
    insert_address(ingest.only("address"), *texts)
    (row,) = ingest.rows(ingest.tick(), "address")
    names = ("address_line_1", "address_line_2", "district", "city", "postal_code", "country", "phone")
    assert tuple(row[name] for name in names) == texts
    assert row["created_at"] == datetime(2024, 1, 5, 9, 0, 0, 1000)
    assert row["last_updated"] == datetime(1999, 12, 31, 23, 59, 59, 999000)


@pytest.fixture
def payment(ingest: Any) -> Any:
    """A source with one payment and what it refers to."""
    ingest.execute_as_superuser(
        "SET session_replication_role = replica",
        "INSERT INTO payment (payment_id, transaction_id, counterparty_id, payment_amount, currency_id, payment_type_id, paid, "
        "payment_date, company_ac_number, counterparty_ac_number, created_at, last_updated) "
        "VALUES (1, 1, 1, 99999999.99, 1, 1, true, '2024-01-05', 1, 2147483647, '2024-01-05 09:00:00.1', '2024-01-05 09:00:00.12'), "
        "(2, 2, 1, -0.10, 1, 1, false, '2024-01-05', 1, 2, '2024-01-05', '2024-01-05')",
        "INSERT INTO transaction (transaction_id, transaction_type, sales_order_id, purchase_order_id, created_at, last_updated) "
        "VALUES (1, 'SALE', 7, NULL, '2024-01-05', '2024-01-05')",
    )
    return ingest


def test_decimals_booleans_and_enums_arrive_as_they_are(payment: Any) -> None:
    batch = payment.tick()
    first, second = payment.rows(batch, "payment")
    assert (first["payment_amount"], first["paid"], first["counterparty_ac_number"]) == (Decimal("99999999.99"), True, 2147483647)
    assert (second["payment_amount"], second["paid"]) == (Decimal("-0.10"), False)
    (sale,) = payment.rows(batch, "transaction")
    assert (sale["transaction_type"], sale["sales_order_id"], sale["purchase_order_id"]) == ("SALE", 7, None)


def test_a_server_with_other_habits_gives_the_same_values(payment: Any) -> None:
    dbname = payment.source.dbname
    payment.execute(
        f"ALTER DATABASE {dbname} SET TimeZone = 'America/New_York'",
        f"ALTER DATABASE {dbname} SET DateStyle = 'SQL, DMY'",
        f"ALTER DATABASE {dbname} SET search_path = pg_temp",
        f"ALTER ROLE ingest_reader IN DATABASE {dbname} SET client_encoding = 'LATIN1'",
    )
    first, _ = payment.rows(payment.tick(), "payment")
    assert first["created_at"] == datetime(2024, 1, 5, 9, 0, 0, 100000)
    assert payment.newest().snapshot_at.endswith("+00:00")


def test_line_ends_are_kept_wherever_the_reading_of_a_large_table_is_divided(ingest: Any) -> None:
    ingest.only("design").execute(
        "INSERT INTO design (design_name, file_location, file_name, last_updated) SELECT 'crlf ' || g,"
        " repeat(E'\\r\\n', 50000 + g) || repeat('x', g % 2), 'f.json', now()::timestamp(3) FROM generate_series(1, 200) AS g"
    )
    landed = {row["design_id"]: row["file_location"] for row in ingest.rows(ingest.tick(), "design")}
    assert landed == dict(ingest.query("SELECT design_id, file_location FROM design"))


def test_a_row_of_any_size_comes_in(ingest: Any) -> None:
    ingest.only("design").execute(insert(1, 2), "UPDATE design SET design_name = repeat(E'é\\n', 3000000) WHERE design_id = 2")
    assert [row["design_name"] for row in ingest.rows(ingest.tick(), "design")] == ["Design 1", "é\n" * 3_000_000]


@pytest.mark.parametrize("type_", ["character(5)", "character(3)", "character varying(9)", "text", 'varchar(3) COLLATE "C"'])
def test_a_text_arrives_as_the_text_that_it_is_whatever_type_of_text_it_has(ingest: Any, type_: str) -> None:
    ingest.only("currency").execute(
        f"INSERT INTO currency VALUES (1, 'GBP', {STAMP}, {STAMP})", f"ALTER TABLE currency ALTER currency_code TYPE {type_}"
    )
    assert [row["currency_code"] for row in ingest.rows(ingest.tick(), "currency")] == ["GBP"]


def test_a_fixed_width_that_the_contract_names_has_no_blanks_either(ingest: Any) -> None:
    currency = ingest.only("currency").contracts["currency"]
    columns = [replace(column, source_type="character(5)") if column.name == "currency_code" else column for column in currency.columns]
    ingest.contracts["currency"] = replace(currency, columns=tuple(columns))
    ingest.execute(
        f"INSERT INTO currency VALUES (1, 'GBP', {STAMP}, {STAMP})", "ALTER TABLE currency ALTER currency_code TYPE character(5)"
    )
    assert [row["currency_code"] for row in ingest.rows(ingest.tick(), "currency")] == ["GBP"]


@pytest.fixture
def dated(ingest: Any) -> Any:
    """Ingest of the table design alone, with a nullable column `approved` of type date in the source and in the contract."""
    design = ingest.only("design").contracts["design"]
    approved = Column("approved", "date", True, "Day of approval.", source_type="date")
    ingest.contracts["design"] = replace(design, columns=(*design.columns, approved))
    ingest.execute("ALTER TABLE design ADD approved date", insert(1, 2, 3))
    return ingest


@pytest.mark.parametrize("day", ["0001-01-01", "1520-06-01", "1582-10-04", "1582-10-15", "9999-12-31"])
def test_a_day_of_any_century_arrives_as_it_is(dated: Any, day: str) -> None:
    dated.execute(f"UPDATE design SET approved = '{day}' WHERE design_id = 2")
    assert [row["approved"] for row in dated.rows(dated.tick(), "design")] == [None, date.fromisoformat(day), None]


@pytest.mark.parametrize("day", ["infinity", "-infinity", "0044-03-15 BC", "10000-01-01"])
def test_a_day_that_the_lake_cannot_hold_keeps_its_row_out_alone(dated: Any, day: str) -> None:
    dated.execute(f"UPDATE design SET approved = '{day}' WHERE design_id = 2")
    batch = dated.tick()
    assert (batch.held, dated.keys(batch, "design"), dated.letters("design")) == ({}, [1, 3], [2])


@pytest.mark.parametrize("day", ["infinity", "0044-03-15 BC", "12024-01-01"])
def test_a_day_in_place_of_a_text_date_is_checked_like_the_text(ingest: Any, day: str) -> None:
    order = ingest.only("sales_order").contracts["sales_order"]
    columns = [replace(column, source_type="date") if column.name == "agreed_payment_date" else column for column in order.columns]
    ingest.contracts["sales_order"] = replace(order, columns=tuple(columns))
    ingest.execute_as_superuser(
        "SET session_replication_role = replica",
        "ALTER TABLE sales_order ALTER agreed_payment_date TYPE date USING agreed_payment_date::date",
        "INSERT INTO sales_order (sales_order_id, created_at, last_updated, design_id, staff_id, counterparty_id, units_sold, unit_price,"
        " currency_id, agreed_delivery_date, agreed_payment_date, agreed_delivery_location_id)"
        f" SELECT n, {STAMP}, {STAMP}, 1, 1, 1, 1, 1, 1, '2024-01-05', CASE n WHEN 2 THEN '{day}' ELSE '2024-01-06' END::date, 1"
        " FROM generate_series(1, 2) AS n",
    )
    batch = ingest.tick()
    assert [(row["sales_order_id"], row["agreed_payment_date"]) for row in ingest.rows(batch, "sales_order")] == [(1, "2024-01-06")]
    assert (batch.held, ingest.letters("sales_order")) == ({}, [2])


def test_files_have_the_types_of_the_contract_and_the_lineage_after_them() -> None:
    schema = arrow_schema((*load_contracts().source["payment"].columns, *RAW_LINEAGE))
    assert schema.field("payment_amount").type == pa.decimal128(10, 2)
    assert schema.field("created_at").type == pa.timestamp("us")
    assert schema.names[-2:] == ["batch_seq", "source_xid"]
