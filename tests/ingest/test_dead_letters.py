"""Single rows that break their contract: they stay out alone, a person can read why, and they come in once they are put right."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import Any

import pytest
from totesys.ingest.dead_letters import load_open
from totesys.lake import layout

from tests.ingest.designs import transaction

STAMPS = "'2024-01-05', '2024-01-05'"
INSERT = (
    "INSERT INTO payment (payment_id, transaction_id, counterparty_id, payment_amount, currency_id, payment_type_id, paid, payment_date,"
    " company_ac_number, counterparty_ac_number, created_at, last_updated)"
    " SELECT n, n, 1, 9.5, 1, 1, true, '2024-02-01', 1, 2, '2024-01-05', '2024-01-05' FROM generate_series({}, {}) AS n"
)
SET = "UPDATE payment SET {} WHERE payment_id = {}"


@pytest.fixture
def payments(ingest: Any) -> Any:
    """Ingest of payments alone, with payments 1, 2 and 3 read already."""
    ingest.only("payment").execute_as_superuser(f"ALTER DATABASE {ingest.source.dbname} SET session_replication_role = 'replica'")
    ingest.execute(INSERT.format(1, 3))
    assert ingest.keys(ingest.tick(), "payment") == [1, 2, 3]
    ingest.announced()
    return ingest


def open_letters(payments: Any) -> list[tuple[int, str]]:
    """Key and reason of the letters that are open."""
    dead = payments.newest().tables["payment"].dead_letters
    return [(row["key"], row["reason"]) for row in load_open(payments.raw, dead).to_pylist()] if dead else []


BAD = [
    ("payment_date = '2024-02-30'", "payment_date is not a date (YYYY-MM-DD)"),
    ("payment_date = 'soon'", "payment_date is not a date (YYYY-MM-DD)"),
    ("payment_date = ''", "payment_date is not a date (YYYY-MM-DD)"),
    ("payment_date = '2024-2-3'", "payment_date is not a date (YYYY-MM-DD)"),
    ("payment_date = '20240203'", "payment_date is not a date (YYYY-MM-DD)"),
    ("payment_date = '0202-11-03'", "payment_date is outside 1990-01-01 to 2100-12-31"),
    ("payment_date = '9999-12-31'", "payment_date is outside 1990-01-01 to 2100-12-31"),
    ("created_at = '1989-12-31 23:59:59.999'", "created_at is outside 1990-01-01 to 2100-12-31"),
    ("last_updated = '2101-01-01'", "last_updated is outside 1990-01-01 to 2100-12-31"),
    ("created_at = 'infinity'", "created_at does not fit the contract's type"),
    ("created_at = '0044-03-15 BC'", "created_at does not fit the contract's type"),
    ("created_at = '10000-01-01', last_updated = '-infinity'", "created_at, last_updated does not fit the contract's type"),
    ("payment_amount = 'NaN'", "payment_amount does not fit the contract's type"),
]


@pytest.mark.parametrize(("change", "reason"), BAD)
def test_a_bad_row_stays_out_alone_with_its_reason(payments: Any, change: str, reason: str) -> None:
    payments.execute(INSERT.format(4, 5), SET.format(change, 4))
    batch = payments.tick()
    assert payments.keys(batch, "payment") == [5]
    assert open_letters(payments) == [(4, reason)]
    assert payments.alerts() == [("rows in the dead letter", "payment")]
    (letter,) = [
        json.loads(line)
        for line in payments.raw.get(layout.dead_letter_key("payment", batch.ingest_date, batch.batch_id)).decode().splitlines()
    ]
    row, name = letter.pop("row"), change.split(" = ")[0]
    assert letter == {
        "format": 1, "table": "payment", "key": 4, "reason": reason, "contract_version": payments.contracts["payment"].version,
        "batch_seq": batch.seq, "batch_id": batch.batch_id, "snapshot_at": batch.snapshot_at,
    }  # fmt: skip
    assert row["transaction_id"] == 4
    assert row[name].split(".")[0] == payments.query(f"SELECT {name}::text FROM payment WHERE payment_id = 4")[0][0].split(".")[0]


@pytest.mark.parametrize("value", ["1990-01-01", "2100-12-31"])
def test_the_ends_of_the_range_are_within_it(payments: Any, value: str) -> None:
    payments.execute(INSERT.format(4, 4), SET.format(f"payment_date = '{value}', created_at = '{value} 23:59:59.999'", 4))
    assert payments.keys(payments.tick(), "payment") == [4]


def test_a_value_outside_its_enum_and_a_null_where_none_is_allowed_stay_out(payments: Any) -> None:
    payments.only("transaction").execute(
        "ALTER TYPE transaction_type ADD VALUE 'GIFT'", "ALTER TABLE transaction ALTER transaction_type DROP NOT NULL"
    )
    columns = "transaction_id, transaction_type, sales_order_id, created_at, last_updated"
    insert = f"INSERT INTO transaction ({columns}) VALUES ({{0}}, {{1}}, {{0}}, {STAMPS})"
    payments.execute(insert.format(1, "'GIFT'"), insert.format(2, "NULL"), insert.format(3, "'SALE'"))
    assert payments.keys(payments.tick(), "transaction") == [3]
    (written,) = [key for key, _ in payments.raw.objects("dead_letter/transaction/")]
    reasons = [json.loads(line)["reason"] for line in payments.raw.get(written).splitlines()]
    assert reasons == [
        "transaction_type is not one of the contract's values",
        "transaction_type is null, which the contract does not allow",
    ]


def test_a_bad_row_that_is_put_right_comes_in_and_closes_its_letter(payments: Any) -> None:
    payments.execute(SET.format("payment_date = 'soon'", 2))
    assert payments.keys(payments.tick(), "payment") == []
    payments.execute(SET.format("payment_date = '2024-03-01'", 2))
    assert payments.keys(payments.tick(), "payment") == [2]
    assert open_letters(payments) == []


def test_a_bad_row_that_is_deleted_closes_its_letter(payments: Any) -> None:
    payments.execute(INSERT.format(4, 20), SET.format("payment_date = 'soon'", 4))
    payments.tick()
    payments.execute("DELETE FROM payment WHERE payment_id = 4")
    batch = payments.tick()
    assert (batch.tables["payment"].mode, open_letters(payments)) == ("full", [])


def test_a_letter_is_written_and_alerted_once_however_often_its_row_is_read(payments: Any) -> None:
    payments.execute(SET.format("payment_date = 'soon'", 2))
    payments.tick()
    for demand in ({"full": True}, {"replay": ["payment"]}, {}):
        payments.execute(SET.format("paid = NOT paid", 1))
        payments.tick(**demand)
    assert payments.letters("payment") == [2]
    assert payments.alerts() == [("rows in the dead letter", "payment")]
    assert [key for key, _ in open_letters(payments)] == [2]
    payments.execute(SET.format("payment_date = 'later'", 2))
    payments.tick()
    assert payments.letters("payment") == [2, 2]
    assert [key for key, _ in open_letters(payments)] == [2]


def test_a_bad_row_of_a_transaction_that_stays_open_beside_it_is_written_once(payments: Any) -> None:
    with transaction(payments.source) as cursor:
        cursor.execute(SET.format("paid = NOT paid", 1))
        payments.execute(SET.format("payment_date = 'soon'", 2))
        payments.tick()
        payments.execute(INSERT.format(4, 4))
        assert payments.keys(payments.tick(), "payment") == [4]
        assert [key for key, _ in open_letters(payments)] == [2]
    assert payments.keys(payments.tick(), "payment") == [1]
    assert payments.letters("payment") == [2]


def test_a_wider_contract_lets_the_rows_in_that_it_allows(payments: Any) -> None:
    payments.execute(SET.format("payment_date = '0202-11-03'", 2), SET.format("payment_date = 'soon'", 3))
    payments.tick()
    payment = payments.contracts["payment"]
    columns = tuple(replace(column, minimum="0001-01-01") if column.name == "payment_date" else column for column in payment.columns)
    payments.contracts = {"payment": replace(payment, version=payment.version + 1, columns=columns)}
    batch = payments.tick()
    assert 2 in payments.keys(batch, "payment")
    assert [key for key, _ in open_letters(payments)] == [3]
    assert batch.tables["payment"].since_xmin is None  # or the row would be reported as one that the capture has missed


def test_a_replay_reads_the_table_again_without_taking_its_rows_for_misses(payments: Any) -> None:
    payments.execute(SET.format("payment_date = 'soon'", 2))
    payments.tick()
    batch = payments.tick(replay=["payment"])
    assert (batch.tables["payment"].mode, batch.tables["payment"].since_xmin) == ("full", None)


def test_a_batch_of_bad_rows_alone_is_no_work_for_the_transform(payments: Any) -> None:
    payments.execute(SET.format("payment_date = 'soon'", 2))
    batch = payments.tick()
    assert (batch.has_rows, batch.tables["payment"].row_count) == (False, 3)


def test_a_delta_of_rows_that_were_all_seen_already_lands_nothing(payments: Any) -> None:
    with transaction(payments.source) as cursor:
        cursor.execute("SELECT pg_current_xact_id()")
        payments.execute(SET.format("paid = NOT paid", 1))
        assert payments.keys(payments.tick(), "payment") == [1]
        batch = payments.tick()
    assert (batch.tables["payment"].mode, batch.tables["payment"].rows, batch.held) == ("delta", 0, {})


def test_a_delete_beside_rows_that_are_all_bad_is_work_for_the_transform(payments: Any) -> None:
    payments.execute(INSERT.format(4, 10), "UPDATE payment SET payment_date = 'soon'")
    assert not payments.tick().has_rows
    payments.execute("DELETE FROM payment WHERE payment_id = 3", INSERT.format(11, 11), SET.format("payment_date = 'soon'", 11))
    batch = payments.tick()
    assert (batch.has_rows, batch.tables["payment"].mode, batch.tables["payment"].rows) == (True, "full", 0)


def test_rows_that_cannot_be_told_apart_hold_the_table_and_not_the_others(payments: Any) -> None:
    payments.only("payment", "design").execute(
        "CREATE TABLE more () INHERITS (payment)", "INSERT INTO more SELECT * FROM payment WHERE payment_id = 2"
    )
    payments.execute("INSERT INTO design VALUES (1, " + STAMPS + ", 'D', '/usr', 'd.json')")
    batch = payments.tick()
    assert payments.keys(batch, "design") == [1]
    assert "payment.payment_id is not unique" in batch.held["payment"].reason
    assert payments.alerts() == [("table held", "payment")]
    payments.execute("DELETE FROM more")
    batch = payments.tick()
    assert (batch.held, payments.keys(batch, "payment")) == ({}, [1, 2, 3])


@pytest.mark.parametrize("key", [2**31, 5_000_000_000, 2**63 - 1, -(2**63)])
def test_a_key_that_the_contracts_type_cannot_hold_is_one_dead_letter(payments: Any, key: int) -> None:
    payments.execute("ALTER TABLE payment ALTER payment_id TYPE bigint", INSERT.format(4, 10), SET.format(f"payment_id = {key}", 10))
    batch = payments.tick()  # a rewritten table has new rows alone
    assert (batch.held, payments.keys(batch, "payment")) == ({}, [1, 2, 3, 4, 5, 6, 7, 8, 9])
    assert open_letters(payments) == [(key, "payment_id does not fit the contract's type")]
    payments.execute(INSERT.format(11, 11))
    batch = payments.tick()
    assert (batch.tables["payment"].mode, payments.keys(batch, "payment"), batch.tables["payment"].row_count) == ("delta", [11], 11)
    payments.execute(SET.format("payment_id = 10", key))
    assert (10 in payments.keys(payments.tick(), "payment"), open_letters(payments)) == (True, [])


def test_a_held_tables_row_is_whole_whatever_its_columns_are_called(payments: Any) -> None:
    payments.execute("ALTER TABLE payment RENAME paid TO t", SET.format("t = NOT t", 2))
    batch = payments.tick()
    letter = json.loads(payments.raw.get(layout.dead_letter_key("payment", batch.ingest_date, batch.batch_id)))
    assert (letter["row"]["t"], letter["row"]["payment_id"]) == (False, 2)


def test_numbers_of_a_held_tables_rows_keep_every_digit(payments: Any) -> None:
    exact = "9007199254740993.123456789012345678901234567890"
    payments.execute(
        f"ALTER TABLE payment ADD rate numeric(50,30) DEFAULT {exact}, ADD big bigint DEFAULT 9007199254740993",
        "ALTER TABLE payment RENAME paid TO is_paid",
        SET.format("is_paid = NOT is_paid", 2),
    )
    batch = payments.tick()
    line = payments.raw.get(layout.dead_letter_key("payment", batch.ingest_date, batch.batch_id)).decode()
    row = json.loads(line, parse_float=str)["row"]
    assert (row["payment_id"], row["rate"], row["big"]) == (2, exact, 9007199254740993)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the process's own memory from Linux")
def test_a_hundred_thousand_bad_rows_alert_once(payments: Any) -> None:
    payments.execute(INSERT.format(4, 100_003), "UPDATE payment SET payment_date = 'soon' WHERE payment_id > 3")
    batch = payments.tick()
    dead = batch.tables["payment"].dead_letters
    assert (dead.rows, dead.new_rows, payments.keys(batch, "payment")) == (100_000, 100_000, [])
    assert payments.alerts() == [("rows in the dead letter", "payment")]
    payments.execute("UPDATE payment SET payment_date = '2024-01-01' WHERE payment_id > 4")
    batch = payments.tick()
    assert (len(payments.keys(batch, "payment")), batch.tables["payment"].dead_letters.rows) == (99_999, 1)
