"""Generated data behaves as the real source is known to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from totesys.contracts import load_contracts

from local_totesys.generator import SourceError, generate
from local_totesys.orders import business_day, business_day_number

Ask = Callable[[str], list[tuple[Any, ...]]]
ORDERS = """(
    SELECT sales_order_id AS id, 'SALE' AS kind, created_at, last_updated, units_sold * unit_price AS amount, counterparty_id, currency_id,
        agreed_payment_date, agreed_delivery_date
    FROM sales_order
    UNION ALL
    SELECT purchase_order_id, 'PURCHASE', created_at, last_updated, item_quantity * item_unit_price, counterparty_id, currency_id,
        agreed_payment_date, agreed_delivery_date
    FROM purchase_order
) AS o"""
CHAIN = (
    f"{ORDERS} JOIN transaction AS t ON (kind, id) = (transaction_type::text, coalesce(sales_order_id, purchase_order_id))"
    " JOIN payment AS p USING (transaction_id)"
)


def one(ask: Ask, query: str) -> Any:
    ((answer,),) = ask(query)
    return answer


def test_the_small_tables_have_their_sizes(ask: Ask) -> None:
    sizes = {"address": 30, "counterparty": 20, "currency": 3, "department": 8, "staff": 20, "payment_type": 4, "design": 470}
    assert {table: one(ask, f"SELECT count(*) FROM {table}") for table in sizes} == sizes
    assert ask("SELECT currency_code FROM currency ORDER BY currency_id") == [("GBP",), ("USD",), ("EUR",)]


def test_about_seven_of_ten_orders_are_sales(ask: Ask) -> None:
    sales, purchases = one(ask, "SELECT count(*) FROM sales_order"), one(ask, "SELECT count(*) FROM purchase_order")
    assert sales + purchases == 16_000
    assert 0.68 < sales / 16_000 < 0.73


def test_orders_come_on_weekdays_from_eight_to_nineteen(ask: Ask) -> None:
    assert one(ask, f"SELECT count(*) FROM {ORDERS} WHERE extract(isodow FROM created_at) > 5") == 0
    assert ask(f"SELECT DISTINCT extract(hour FROM created_at)::int FROM {ORDERS} ORDER BY 1") == [(hour,) for hour in range(8, 19)]


def test_a_weekday_brings_about_21_sales_and_9_purchases(ask: Ask) -> None:
    for table, expected in (("sales_order", 21), ("purchase_order", 9)):
        per_day = f"SELECT count(*) AS n FROM {table} GROUP BY created_at::date"
        assert abs(one(ask, f"SELECT avg(n)::float FROM ({per_day}) AS d") - expected) < 1
        assert one(ask, f"SELECT count(DISTINCT n) FROM ({per_day}) AS d") > 5


def test_the_history_ends_with_the_last_day(ask: Ask) -> None:
    assert one(ask, f"SELECT max(created_at)::date FROM {ORDERS}") == date(2026, 3, 13)
    for table in load_contracts().source:
        assert one(ask, f"SELECT max(last_updated)::date FROM {table}") <= date(2026, 3, 13)


def test_keys_follow_the_order_of_creation(ask: Ask) -> None:
    for contract in load_contracts().source.values():
        back = f"SELECT created_at < lag(created_at) OVER (ORDER BY {contract.key}) AS back FROM {contract.table}"
        assert one(ask, f"SELECT count(*) FROM ({back}) AS steps WHERE back") == 0


def test_an_order_has_one_transaction_and_one_payment_of_the_same_moment(ask: Ask) -> None:
    assert one(ask, f"SELECT count(*) FROM {CHAIN}") == 16_000
    assert one(ask, "SELECT count(*) FROM transaction") == one(ask, "SELECT count(*) FROM payment") == 16_000
    assert one(ask, f"SELECT count(*) FROM {CHAIN} WHERE NOT (o.created_at = t.created_at AND t.created_at = p.created_at)") == 0


def test_a_payment_is_of_its_order(ask: Ask) -> None:
    wrong = (
        "payment_amount <> amount OR p.counterparty_id <> o.counterparty_id OR p.currency_id <> o.currency_id"
        " OR payment_date <> agreed_payment_date OR payment_type_id <> CASE kind WHEN 'SALE' THEN 1 ELSE 3 END"
    )
    assert one(ask, f"SELECT count(*) FROM {CHAIN} WHERE {wrong}") == 0


def test_every_foreign_key_and_enum_holds(postgres: Any, history: str) -> None:
    connection = postgres.connect(history)
    with connection.cursor() as cursor:
        cursor.execute("SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'f'")
        for table, name, definition in cursor.fetchall():
            cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}, ADD CONSTRAINT {name} {definition}")
    connection.rollback()
    connection.close()


def test_a_design_is_sold_only_after_it_was_made(ask: Ask) -> None:
    assert one(ask, "SELECT count(*) FROM sales_order AS o JOIN design AS d USING (design_id) WHERE d.created_at > o.created_at") == 0


def test_dates_are_text_of_up_to_seven_days_ahead_and_on_edited_orders_of_up_to_650(ask: Ask) -> None:
    for column, furthest in (("agreed_payment_date", 7), ("agreed_delivery_date", 650)):
        assert one(ask, f"SELECT count(*) FROM {ORDERS} WHERE {column} !~ '^\\d{{4}}-\\d\\d-\\d\\d$'") == 0
        ahead = f"SELECT {column}::date - created_at::date AS days FROM {ORDERS}"
        least, most, usual = ask(f"SELECT min(days), max(days), avg((days <= 7)::int)::float FROM ({ahead}) AS a")[0]
        assert least == 0
        assert furthest * 0.9 < most <= furthest
        assert usual > 0.9


def test_some_edits_leave_a_stamp_and_some_do_not(ask: Ask) -> None:
    put_off = f"SELECT last_updated > created_at AS stamped FROM {ORDERS} WHERE agreed_delivery_date::date - created_at::date > 7"
    counts = dict(ask(f"SELECT stamped, count(*) FROM ({put_off}) AS e GROUP BY stamped"))
    assert counts[True] > 200
    assert counts[False] > 100


def test_due_payments_are_made_at_0755_of_a_weekday_and_share_the_millisecond(ask: Ask) -> None:
    assert (
        one(ask, "SELECT count(*) FROM payment WHERE paid AND to_char(last_updated, 'YYYY-MM-DD HH24:MI') <> payment_date || ' 07:55'") == 0
    )
    batches = "SELECT count(*) AS n, count(DISTINCT last_updated) AS moments FROM payment WHERE paid GROUP BY payment_date"
    assert one(ask, f"SELECT max(moments) FROM ({batches}) AS b") == 1
    assert 20 <= one(ask, f"SELECT max(n) FROM ({batches}) AS b") <= 60


def test_only_payments_of_a_weekend_of_their_own_day_or_of_the_future_are_unpaid(ask: Ask) -> None:
    never = "extract(isodow FROM payment_date::date) > 5 OR payment_date::date = created_at::date OR payment_date > '2026-03-13'"
    assert one(ask, f"SELECT count(*) FROM payment WHERE paid = ({never})") == 0
    assert one(ask, "SELECT count(*) FROM payment WHERE NOT paid AND payment_date < '2026-03-13'") > 1000


def test_awkward_values_are_there(ask: Ask) -> None:
    assert one(ask, "SELECT count(*) FROM staff WHERE last_name = 'O''Keefe'") > 0
    assert one(ask, "SELECT count(*) FROM counterparty WHERE commercial_contact = 'Christy O''Hara'") > 0
    assert one(ask, "SELECT count(*) FROM counterparty WHERE counterparty_legal_name = 'Frami, Yundt and Macejkovic'") > 0
    assert one(ask, "SELECT count(*) FROM address WHERE country = 'Democratic People''s Republic of Korea'") > 0
    assert one(ask, "SELECT count(*) FROM address WHERE postal_code = '08841'") > 0
    assert one(ask, "SELECT count(*) FROM department WHERE location = 'Leds'") > 0
    assert 0 < one(ask, "SELECT count(*) FROM address WHERE address_line_2 IS NULL") < 30
    assert 0 < one(ask, "SELECT count(*) FROM address WHERE district IS NULL") < 30


def test_counterparties_share_addresses(ask: Ask) -> None:
    assert one(ask, "SELECT count(DISTINCT legal_address_id) FROM counterparty") < 20


def test_refund_types_exist_unused(ask: Ask) -> None:
    assert ask("SELECT payment_type_name::text FROM payment_type LEFT JOIN payment USING (payment_type_id) WHERE payment_id IS NULL") == [
        ("SALES_REFUND",),
        ("PURCHASE_REFUND",),
    ]


def test_sequences_stand_after_the_last_key(living: Any) -> None:
    with living.cursor() as cursor:
        for contract in load_contracts().source.values():
            sequence = f"pg_get_serial_sequence('{contract.table}', '{contract.key}')"
            cursor.execute(f"SELECT nextval({sequence}) - max({contract.key}) FROM {contract.table}")
            assert cursor.fetchone() == (1,)


def fingerprint(connection: Any) -> list[str]:
    hashes = []
    with connection.cursor() as cursor:
        for table in load_contracts().source:
            cursor.execute(f"SELECT md5(string_agg(t::text, E'\\n' ORDER BY t::text)) FROM {table} AS t")
            hashes.append(cursor.fetchone()[0])
    return hashes


def test_the_same_seed_gives_the_same_rows_and_another_seed_others(postgres: Any, source_template: str, new_database: Any) -> None:
    found = []
    for seed in (1, 1, 2):
        connection = postgres.connect(new_database(source_template))
        generate(connection, orders=500, seed=seed, until=date(2026, 3, 13))
        found.append(fingerprint(connection))
        connection.close()
    first, again, other = found
    assert again == first
    assert other != first


def test_a_source_with_rows_is_left_alone(living: Any) -> None:
    with pytest.raises(SourceError, match="has rows already"):
        generate(living, orders=10, seed=1, until=date(2026, 3, 13))


def test_business_days_are_numbered_without_weekends() -> None:
    friday = date(2026, 3, 13)
    assert business_day(business_day_number(friday)) == friday
    assert business_day(business_day_number(friday) + 1) == date(2026, 3, 16)
    assert business_day_number(date(2026, 3, 15)) == business_day_number(friday)
