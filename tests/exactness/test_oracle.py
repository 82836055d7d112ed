"""The truth is told what batches saw, and says what must be there."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from tests.exactness.oracle import SOURCE_TABLES, RowDifference, State, Truth, compare

AT = datetime.datetime(2026, 3, 2, 9, 30, 15, 123_000)


def payment(key: int = 1, **values: Any) -> dict[str, Any]:
    row = {
        "payment_id": key, "transaction_id": key, "counterparty_id": 1, "payment_amount": 5, "currency_id": 1, "payment_type_id": 1,
        "paid": False, "payment_date": "2026-03-07", "company_ac_number": 1, "counterparty_ac_number": 1, "created_at": AT,
        "last_updated": AT,
    }  # fmt: skip
    return {**row, **values}


def state(*payments: dict[str, Any], **tables: dict[int, dict[str, Any]]) -> State:
    return {**{table: {} for table in SOURCE_TABLES}, "payment": {row["payment_id"]: row for row in payments}, **tables}


def batches_of_versions(truth: Truth, through: int = 99) -> list[int]:
    return [version.batch_seq for version in truth.facts("fact_payment", through)]


@pytest.mark.parametrize(
    "seen, versions",
    [
        ([[payment()], [payment()]], [1]),
        ([[payment()], [payment(paid=True)], [payment()]], [1, 2, 3]),
        ([[payment()], [payment(last_updated=AT + datetime.timedelta(milliseconds=1))]], [1, 2]),
        ([[payment()], [payment(company_ac_number=2)]], [1]),
        ([[payment()], [], [payment()]], [1, 3]),
        ([[payment()], [payment(payment_date="soon", paid=True)], [payment()]], [1]),
        ([[payment(payment_date="2026-02-30")], [payment(payment_date="2026-03-02")]], [2]),
    ],
    ids=[
        "the same",
        "there and back",
        "a stamp alone",
        "an account number",
        "deleted and inserted again",
        "bad for a while",
        "bad at first",
    ],
)
def test_a_version_is_a_state_that_differs_from_the_one_before(seen: list[list[dict[str, Any]]], versions: list[int]) -> None:
    truth = Truth()
    for number, payments in enumerate(seen, start=1):
        truth.saw(number, state(*payments))
    assert batches_of_versions(truth) == versions
    assert batches_of_versions(truth, through=1) == [number for number in versions if number == 1]


def test_a_deleted_row_is_a_tombstone_with_its_last_values() -> None:
    truth = Truth()
    truth.saw(1, state(payment(), payment(2)))
    truth.saw(2, state(payment(2)))
    truth.saw(3, state(payment(2)))
    assert truth.mirror("payment", 3) == [tuple(payment(2).values())]
    assert truth.deleted("payment", 3) == [tuple(payment().values())]
    assert truth.tombstones(3) == [("payment", 1, 2)]
    assert truth.alive("payment", 3) == {2}


def test_a_table_that_loses_more_than_a_fifth_is_held_until_it_is_accepted_or_back() -> None:
    truth = Truth()
    rows = [payment(key) for key in range(1, 11)]
    assert truth.saw(1, state(*rows), accepted=()) == set()
    assert truth.saw(2, state(*rows[2:]), accepted=()) == set()
    assert truth.saw(3, state(*rows[4:], payment(99)), accepted=()) == {"payment"}
    assert batches_of_versions(truth) == [1] * 10
    assert truth.saw(4, state(*rows[4:], payment(99)), accepted=("payment",)) == set()
    assert batches_of_versions(truth)[10:] == [4]


def test_a_row_that_breaks_its_contract_is_as_it_was_and_deleted_only_when_it_is_gone() -> None:
    bad = payment(created_at=datetime.datetime.max)
    truth = Truth()
    truth.saw(1, state(payment(), payment(2)))
    truth.saw(2, state(bad))
    truth.saw(3, state())
    assert truth.tombstones(2) == [("payment", 2, 2)]
    assert truth.tombstones(3) == [("payment", 1, 3), ("payment", 2, 2)]


def test_staff_whose_department_was_never_seen_are_as_they_were_or_lack() -> None:
    truth = Truth()
    rows = {key: {"staff_id": key, "first_name": "Ann", "last_name": "Lee", "email_address": "a@b.com"} for key in (1, 2)}
    sales = {7: {"department_id": 7, "department_name": "Sales", "location": "Leds", "created_at": AT}}
    lives = {"created_at": AT, "department_id": 7}
    truth.saw(1, state(staff={1: {**rows[1], **lives}}, department=sales))
    truth.saw(2, state(staff={key: {**row, **lives, "department_id": 8} for key, row in rows.items()}, department=sales))
    assert truth.dimension("dim_staff", 2) == []
    assert truth.once_whole("dim_staff", 2) == {1: {(1, "Ann", "Lee", "Sales", "Leds", "a@b.com")}, 2: set()}


def test_staff_of_a_deleted_department_without_a_place_keep_its_name() -> None:
    staff = {"staff_id": 1, "first_name": "Ann", "last_name": "O'Keefe", "department_id": 7, "email_address": "a@b.com", "created_at": AT}
    truth = Truth()
    truth.saw(
        1, state(staff={1: staff}, department={7: {"department_id": 7, "department_name": "Sales", "location": None, "created_at": AT}})
    )
    truth.saw(2, state(), accepted=SOURCE_TABLES)
    assert truth.dimension("dim_staff", 2) == [(1, "Ann", "O'Keefe", "Sales", "", "a@b.com")]


def test_lost_duplicated_and_unknown_rows_are_told_apart() -> None:
    found = list(compare("warehouse", "fact_payment", expected=[(1,), (2,), (2,)], actual=[(2,), (2,), (2,), (3,)]))
    assert found == [RowDifference("warehouse", "fact_payment", lost=((1,),), duplicated=((2,),), unknown=((3,),))]
    assert list(compare("warehouse", "fact_payment", expected=[(1,), (1,)], actual=[(1,), (1,)])) == []
