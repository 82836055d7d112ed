"""Values from the source to typed Parquet, exactly."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from totesys.arrow_types import arrow_schema
from totesys.contracts import RAW_LINEAGE, load_contracts

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
    ingest.execute(
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


def test_files_have_the_types_of_the_contract_and_the_lineage_after_them() -> None:
    schema = arrow_schema((*load_contracts().source["payment"].columns, *RAW_LINEAGE))
    assert schema.field("payment_amount").type == pa.decimal128(10, 2)
    assert schema.field("created_at").type == pa.timestamp("us")
    assert schema.names[-2:] == ["batch_seq", "source_xid"]
