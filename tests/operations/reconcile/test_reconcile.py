"""Every kind of disagreement between source and warehouse is found and named; agreement is not called anything else."""

from __future__ import annotations

import psycopg2
import pytest
from totesys.contracts import load_contracts

from tests.operations.reconcile.conftest import Pair


def test_a_warehouse_that_agrees_has_no_differences(agreeing: Pair) -> None:
    comparisons = agreeing.comparisons()
    assert len(comparisons) == 11
    assert agreeing.differences() == []
    assert comparisons["fact_sales_order"].source_rows == 2
    assert comparisons["fact_sales_order"].warehouse_rows == 2, "current rows are counted, not versions"


def test_a_row_that_the_warehouse_lacks_is_missing(agreeing: Pair) -> None:
    agreeing.in_warehouse("DELETE FROM fact_sales_order WHERE sales_order_id = 25000")
    assert agreeing.differences() == ["fact_sales_order 25000: missing"]


def test_a_row_that_the_source_never_had_is_extra(agreeing: Pair) -> None:
    agreeing.in_warehouse("INSERT INTO dim_payment_type VALUES (9, 'BARTER')")
    assert agreeing.differences() == ["dim_payment_type 9: extra (the source has no such key, and the lake does not know it as deleted)"]


def test_rows_that_were_deleted_at_the_source_are_counted_and_are_no_difference(agreeing: Pair) -> None:
    agreeing.deleted("payment", 1)
    agreeing.deleted("payment_type", 1)
    comparisons = agreeing.comparisons()
    assert agreeing.differences() == []
    assert (comparisons["fact_payment"].source_rows, comparisons["fact_payment"].warehouse_rows, comparisons["fact_payment"].gone) == (
        0,
        1,
        1,
    )
    assert comparisons["dim_payment_type"].gone == 1


def test_a_stale_fact_is_named_with_the_columns_that_differ(agreeing: Pair) -> None:
    agreeing.at_source("UPDATE sales_order SET unit_price = 3.20, staff_id = 2 WHERE sales_order_id = 1")
    assert agreeing.differences() == [
        "fact_sales_order 1: stale (sales_staff_id: source '2', warehouse '1'; unit_price: source '3.20', warehouse '3.10')"
    ]


def test_a_long_value_is_shortened_in_its_middle_with_its_length_and_where_the_two_begin_to_differ(agreeing: Pair) -> None:
    agreeing.at_source("UPDATE design SET design_name = 'begin' || repeat('x', 100000) || 'end' WHERE design_id = 1")
    agreeing.in_warehouse("UPDATE dim_design SET design_name = 'begin' || repeat('x', 99999) || 'end' WHERE design_id = 1")
    (line,) = agreeing.differences()
    assert line == (
        f"dim_design 1: stale (design_name: source 'begin{55 * 'x'} ... 100,008 characters ... {57 * 'x'}end',"
        f" warehouse 'begin{55 * 'x'} ... 100,007 characters ... {57 * 'x'}end', the same up to character 100,004)"
    )


def test_the_version_with_the_highest_record_id_is_the_current_one(agreeing: Pair) -> None:
    agreeing.in_warehouse("UPDATE fact_sales_order SET sales_record_id = 9 WHERE sales_record_id = 1")
    assert agreeing.differences() == ["fact_sales_order 1: stale (units_sold: source '500', warehouse '400')"]


def test_a_dimension_is_stale_when_the_table_it_is_joined_with_has_changed(agreeing: Pair) -> None:
    agreeing.at_source("UPDATE department SET department_name = 'Sails' WHERE department_id = 1")
    agreeing.at_source("UPDATE address SET phone = '1' WHERE address_id = 1")
    assert agreeing.differences() == [
        "dim_counterparty 1: stale (counterparty_legal_phone_number: source '1', warehouse '1803 637401')",
        "dim_location 1: stale (phone: source '1', warehouse '1803 637401')",
        "dim_staff 1: stale (department_name: source 'Sails', warehouse 'Sales')",
    ]


def test_a_null_is_not_an_empty_text(agreeing: Pair) -> None:
    agreeing.in_warehouse("UPDATE dim_location SET address_line_2 = NULL WHERE location_id = 2")
    assert agreeing.differences() == ["dim_location 2: stale (address_line_2: source '', warehouse null)"]


def test_a_text_that_looks_like_a_null_is_not_one(agreeing: Pair) -> None:
    agreeing.in_warehouse("UPDATE dim_location SET district = 'NULL' WHERE location_id = 2")
    assert agreeing.differences() == ["dim_location 2: stale (district: source null, warehouse 'NULL')"]


def test_a_leading_zero_that_is_lost_is_found(agreeing: Pair) -> None:
    agreeing.in_warehouse("UPDATE dim_location SET postal_code = '8841' WHERE location_id = 1")
    assert agreeing.differences() == ["dim_location 1: stale (postal_code: source '08841', warehouse '8841')"]


def test_a_time_that_lost_its_milliseconds_is_found(agreeing: Pair) -> None:
    agreeing.in_warehouse("UPDATE fact_payment SET last_updated_time = '09:30:00'")
    assert agreeing.differences() == ["fact_payment 1: stale (last_updated_time: source '09:30:00.123000', warehouse '09:30:00.000000')"]


def test_a_wrong_date_is_found(agreeing: Pair) -> None:
    agreeing.in_warehouse("UPDATE fact_payment SET payment_date = '2024-04-03'")
    assert agreeing.differences() == ["fact_payment 1: stale (payment_date: source '2024-03-04', warehouse '2024-04-03')"]


def test_a_version_that_repeats_the_one_before_it_is_found(agreeing: Pair) -> None:
    columns = "created_date, created_time, last_updated_date, last_updated_time, transaction_id, counterparty_id, payment_amount"
    agreeing.in_warehouse(
        f"INSERT INTO fact_payment SELECT 2, payment_id, {columns}, currency_id, payment_type_id, paid, payment_date FROM fact_payment"
    )
    assert agreeing.differences() == ["fact_payment 1: duplicate version (record 2 repeats the version before it)"]


def test_a_version_that_was_put_back_may_repeat_the_one_before_but_no_other(agreeing: Pair) -> None:
    columns = (
        "payment_id, created_date, created_time, last_updated_date, last_updated_time, transaction_id, counterparty_id, payment_amount"
    )
    rest = "currency_id, payment_type_id, paid, payment_date FROM fact_payment WHERE payment_record_id = 1"
    agreeing.in_warehouse(
        f"INSERT INTO fact_payment SELECT 2, {columns}, {rest}; INSERT INTO etl.reinserted_version VALUES ('fact_payment', 1, 7)"
    )
    assert agreeing.differences() == []
    agreeing.in_warehouse(f"INSERT INTO fact_payment SELECT 3, {columns}, {rest}")
    assert agreeing.differences() == ["fact_payment 1: duplicate version (record 3 repeats the version before it)"]


def test_a_state_that_comes_back_later_is_no_duplicate(agreeing: Pair) -> None:
    columns = "created_date, created_time, last_updated_date, last_updated_time, transaction_id, counterparty_id, payment_amount"
    for record_id, paid in ((2, "true"), (3, "false")):
        agreeing.in_warehouse(
            f"INSERT INTO fact_payment SELECT {record_id}, payment_id, {columns}, currency_id, payment_type_id, {paid}, payment_date"
            " FROM fact_payment WHERE payment_record_id = 1"
        )
    assert agreeing.differences() == []


def test_a_wrong_currency_name_is_found(agreeing: Pair) -> None:
    agreeing.in_warehouse("UPDATE dim_currency SET currency_name = 'Pound' WHERE currency_id = 1")
    assert agreeing.differences() == ["dim_currency 1: stale (currency_name: wanted 'British Pound', warehouse 'Pound')"]


def test_a_day_that_the_calendar_lacks_is_found(agreeing: Pair) -> None:
    agreeing.in_warehouse("DELETE FROM dim_date WHERE date_id = '2024-02-29'")
    assert agreeing.differences() == ["dim_date 2024-02-29: missing (the facts' dates span its year)"]


def test_a_day_that_is_described_wrongly_is_found(agreeing: Pair) -> None:
    agreeing.in_warehouse("UPDATE dim_date SET quarter = 2, day_name = 'Caturday' WHERE date_id = '2024-01-06'")
    assert agreeing.differences() == ["dim_date 2024-01-06: wrong (day_name, quarter)"]


def test_a_long_list_of_differences_is_cut_and_its_length_told(agreeing: Pair) -> None:
    agreeing.in_warehouse("UPDATE dim_date SET day_of_week = 8")
    calendar = agreeing.comparisons()["dim_date"]
    assert (calendar.differences, len(calendar.listed)) == (366, 20)


DESCRIBED = """day, extract(year FROM day), extract(month FROM day), extract(day FROM day), extract(isodow FROM day),
    to_char(day, 'FMDay'), to_char(day, 'FMMonth'), extract(quarter FROM day)"""


def test_a_day_of_a_year_that_no_fact_uses_but_earlier_and_later_ones_is_missing(agreeing: Pair) -> None:
    days = "generate_series(timestamp '2025-01-01', '2026-12-31', interval '1 day') AS day"
    agreeing.in_warehouse(f"INSERT INTO dim_date SELECT {DESCRIBED} FROM {days}")
    agreeing.at_source("UPDATE payment SET payment_date = '2026-03-04'")
    agreeing.in_warehouse("UPDATE fact_payment SET payment_date = '2026-03-04'; DELETE FROM dim_date WHERE date_id = '2025-07-01'")
    assert agreeing.differences() == ["dim_date 2025-07-01: missing (the facts' dates span its year)"]


def test_a_day_of_a_year_that_the_facts_do_not_span_is_extra(agreeing: Pair) -> None:
    agreeing.in_warehouse("INSERT INTO dim_date VALUES ('1999-12-31', 1999, 12, 31, 5, 'Friday', 'December', 4)")
    agreeing.in_warehouse("INSERT INTO dim_date VALUES ('infinity', 1, 1, 1, 1, '', '', 1)")
    reason = "the facts' dates do not span its year, and the calendar has not all of it"
    assert agreeing.differences() == [f"dim_date 1999-12-31: extra ({reason})", f"dim_date infinity: extra ({reason})"]


def test_a_calendar_may_have_whole_years_to_spare(agreeing: Pair) -> None:
    days = "generate_series(timestamp '2028-01-01', '2028-12-31', interval '1 day') AS day"
    agreeing.in_warehouse(f"INSERT INTO dim_date SELECT {DESCRIBED} FROM {days}")
    assert agreeing.differences() == []


def test_a_column_of_a_wrong_type_may_hold_values_that_the_right_one_cannot(agreeing: Pair) -> None:
    agreeing.in_warehouse("ALTER TABLE fact_payment ALTER payment_amount TYPE double precision, ALTER last_updated_time TYPE text")
    agreeing.in_warehouse("UPDATE fact_payment SET payment_amount = 1550.004, last_updated_time = 'noon'")
    assert agreeing.differences() == [
        "fact_payment.last_updated_time: wrong type (wanted time without time zone, found text)",
        "fact_payment.payment_amount: wrong type (wanted numeric(10,2), found double precision)",
        "fact_payment 1: stale (last_updated_time: source '09:30:00.123000', warehouse 'noon';"
        " payment_amount: source '1550.00', warehouse '1550.004')",
    ]


def test_rows_whose_keys_are_no_numbers_are_not_compared_and_no_reference_finds_them(agreeing: Pair) -> None:
    agreeing.in_warehouse("ALTER TABLE dim_currency DROP CONSTRAINT dim_currency_pkey CASCADE, ALTER currency_id TYPE text")
    agreeing.in_warehouse("UPDATE dim_currency SET currency_id = 'two' WHERE currency_id = '2'")
    comparison = agreeing.comparisons()["dim_currency"]
    assert [str(difference) for difference in comparison.listed] == [
        "dim_currency.currency_id: wrong type (wanted integer, found text)",
        "dim_currency.currency_id: broken key (no primary key)",
        "dim_currency: not compared (its rows cannot be told apart without their key)",
    ]
    assert (comparison.source_rows, comparison.warehouse_rows) == (2, 2)
    lost = "fact_sales_order 25000: broken key (record 3: currency_id 2 is not in dim_currency)"
    assert [line for line in agreeing.differences() if "currency_id 2" in line] == [lost]


def test_a_foreign_key_that_was_never_checked_is_no_foreign_key(agreeing: Pair) -> None:
    agreeing.in_warehouse("ALTER TABLE fact_payment DROP CONSTRAINT fact_payment_currency_id_fkey")
    agreeing.in_warehouse("ALTER TABLE fact_payment ADD FOREIGN KEY (currency_id) REFERENCES dim_currency NOT VALID")
    assert agreeing.differences() == ["fact_payment.currency_id: broken key (its foreign key to dim_currency is not validated)"]


def test_of_two_rows_with_one_key_each_is_compared(agreeing: Pair) -> None:
    agreeing.in_warehouse("ALTER TABLE dim_design DROP CONSTRAINT dim_design_pkey CASCADE")
    agreeing.in_warehouse("INSERT INTO dim_design VALUES (1, 'Steel', '/usr', 'wooden.json')")
    assert agreeing.differences()[:3] == [
        "dim_design.design_id: broken key (no primary key)",
        "dim_design 1: duplicate key (2 rows with this design_id)",
        "dim_design 1: stale (design_name: source 'Wooden', warehouse 'Steel')",
    ]


def test_no_kind_of_difference_hides_another_in_a_long_list(agreeing: Pair) -> None:
    agreeing.in_warehouse("UPDATE dim_date SET day_of_week = 8; DELETE FROM dim_date WHERE date_id = '2024-12-31'")
    calendar = agreeing.comparisons()["dim_date"]
    assert "dim_date 2024-12-31: missing (the facts' dates span its year)" in [str(difference) for difference in calendar.listed]
    assert calendar.unlisted == {"wrong": 345}


def test_a_table_of_another_schema_is_not_the_warehouses(agreeing: Pair) -> None:
    agreeing.in_warehouse("CREATE SCHEMA owner; CREATE TABLE owner.dim_currency (currency_id text)")
    agreeing.at_source("CREATE SCHEMA owner; CREATE TABLE owner.currency (currency_id text)")
    assert agreeing.differences() == []


def test_a_warehouse_that_no_load_has_prepared_cannot_be_compared(agreeing: Pair) -> None:
    agreeing.in_warehouse(f"DROP SCHEMA etl CASCADE; DROP TABLE {', '.join(load_contracts().warehouse)}")
    with pytest.raises(psycopg2.errors.UndefinedTable):
        agreeing.comparisons()


def test_a_reference_to_no_row_is_told_once_however_often_its_neighbours_are_found(agreeing: Pair) -> None:
    agreeing.in_warehouse("ALTER TABLE dim_currency DROP CONSTRAINT dim_currency_pkey CASCADE")
    agreeing.in_warehouse("INSERT INTO dim_currency SELECT * FROM dim_currency")
    agreeing.around_keys("UPDATE fact_payment SET payment_type_id = 7")
    dangling = "fact_payment 1: broken key (record 1: payment_type_id 7 is not in dim_payment_type)"
    assert agreeing.differences().count(dangling) == 1


def test_keys_of_64_bits_are_compared(agreeing: Pair) -> None:
    for run, columns, values in (
        (agreeing.at_source, "design_id, design_name, file_location, file_name, last_updated", "'Wooden', '/usr', 'w.json', now()"),
        (agreeing.in_warehouse, "design_id, design_name, file_location, file_name", "'Wooden', '/usr', 'w.json'"),
    ):
        table = "design" if "last_updated" in columns else "dim_design"
        run(f"ALTER TABLE {table} ALTER design_id TYPE bigint")
        for key in (5_000_000_000, 2**53 + 1, 2**63 - 1):
            run(f"INSERT INTO {table} ({columns}) VALUES ({key}, {values})")
    assert agreeing.differences() == []
    agreeing.in_warehouse(f"UPDATE dim_design SET design_name = 'Steel' WHERE design_id = {2**53 + 1}")
    agreeing.in_warehouse(f"DELETE FROM dim_design WHERE design_id = {2**63 - 1}")
    assert agreeing.differences() == [
        f"dim_design {2**53 + 1}: stale (design_name: source 'Wooden', warehouse 'Steel')", f"dim_design {2**63 - 1}: missing",
    ]  # fmt: skip
