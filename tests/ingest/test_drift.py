"""Every kind of drift of the source: what flows, what is held, what is said once, and that nothing is missing once it is settled."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import pytest
from totesys.errors import BadDataError
from totesys.ingest import job
from totesys.ingest.drift import EVOLVE, HOLD, IGNORE, OUTCOMES
from totesys.lake import layout
from totesys.runtime.demands import Demands

from tests.ingest.designs import insert, rename

STAMPS = "'2024-01-05', '2024-01-05'"
CURRENCY = f"INSERT INTO currency (currency_id, currency_code, created_at, last_updated) VALUES ({{}}, 'GBP', {STAMPS})"
PAYMENT = (
    "INSERT INTO payment (payment_id, transaction_id, counterparty_id, payment_amount, currency_id, payment_type_id, paid, payment_date,"
    " company_ac_number, counterparty_ac_number, created_at, last_updated)"
    f" VALUES ({{0}}, {{0}}, 1, 9.5, 1, 1, true, '2024-02-01', 1, 2, {STAMPS})"
)
TRANSACTION = (
    "INSERT INTO transaction (transaction_id, transaction_type, sales_order_id, purchase_order_id, created_at, last_updated)"
    f" VALUES ({{0}}, 'SALE', {{0}}, NULL, {STAMPS})"
)
ROWS = {"design": insert, "payment": PAYMENT.format, "transaction": TRANSACTION.format, "address": None}


@dataclass(frozen=True)
class Case:
    """A change of a table's structure, what it is, and how it is taken back."""

    kind: str
    table: str
    change: tuple[str, ...]
    settle: tuple[str, ...]
    says: str


CASES = [
    Case(
        "column_added", "design", ("ALTER TABLE design ADD note text",), ("ALTER TABLE design DROP note",), "found text, which is not read"
    ),
    Case(
        "column_added_required",
        "design",
        ("ALTER TABLE design ADD note text NOT NULL DEFAULT ''",),
        ("ALTER TABLE design DROP note",),
        "found text NOT NULL, which is not read",
    ),
    Case(
        "columns_reordered",
        "design",
        ("ALTER TABLE design DROP created_at", "ALTER TABLE design ADD created_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP"),
        (),
        "found design_id, last_updated, design_name, file_location, file_name, created_at",
    ),
    Case(
        "default_changed",
        "design",
        ("ALTER TABLE design ALTER file_name SET DEFAULT 'x'",),
        ("ALTER TABLE design ALTER file_name DROP DEFAULT",),
        "expected the default null, found 'x'::text",
    ),
    Case(
        "nullability_tightened",
        "transaction",
        ("ALTER TABLE transaction ALTER sales_order_id SET NOT NULL",),
        ("ALTER TABLE transaction ALTER sales_order_id DROP NOT NULL",),
        "expected that nulls are allowed, found NOT NULL",
    ),
    Case(
        "enum_value_removed",
        "transaction",
        (
            "ALTER TYPE transaction_type RENAME TO old_type",
            "CREATE TYPE transaction_type AS ENUM ('SALE')",
            "ALTER TABLE transaction ALTER transaction_type TYPE transaction_type USING transaction_type::text::transaction_type",
        ),
        ("ALTER TYPE transaction_type ADD VALUE 'PURCHASE'",),
        "expected the labels SALE, PURCHASE, found no PURCHASE",
    ),
    Case(
        "enum_value_added",
        "transaction",
        ("ALTER TYPE transaction_type ADD VALUE 'GIFT'",),
        (),
        "expected the labels SALE, PURCHASE, found also GIFT",
    ),
    Case(
        "type_widened",
        "design",
        ("ALTER TABLE design ALTER design_id TYPE bigint",),
        ("ALTER TABLE design ALTER design_id TYPE integer",),
        "expected integer, found bigint",
    ),
    Case(
        "type_narrowed",
        "design",
        ("ALTER TABLE design ALTER design_name TYPE varchar(50)",),
        ("ALTER TABLE design ALTER design_name TYPE text",),
        "expected text, found character varying(50)",
    ),
    Case(
        "precision_changed",
        "payment",
        ("ALTER TABLE payment ALTER payment_amount TYPE numeric(14,2)",),
        ("ALTER TABLE payment ALTER payment_amount TYPE numeric(10,2)",),
        "expected numeric(10,2), found numeric(14,2)",
    ),
    Case(
        "nullability_loosened",
        "design",
        ("ALTER TABLE design ALTER file_name DROP NOT NULL",),
        ("ALTER TABLE design ALTER file_name SET NOT NULL",),
        "expected NOT NULL, found that nulls are allowed",
    ),
    Case(
        "scale_changed",
        "payment",
        ("ALTER TABLE payment ALTER payment_amount TYPE numeric(12,4)",),
        ("ALTER TABLE payment ALTER payment_amount TYPE numeric(10,2)",),
        "expected numeric(10,2), found numeric(12,4)",
    ),
    Case(
        "type_changed",
        "payment",
        ("ALTER TABLE payment ALTER paid TYPE text",),
        ("ALTER TABLE payment ALTER paid TYPE boolean USING paid::boolean",),
        "expected boolean, found text",
    ),
    Case(
        "column_renamed",
        "design",
        ("ALTER TABLE design RENAME file_name TO filename",),
        ("ALTER TABLE design RENAME filename TO file_name",),
        "expected text, found no such column, but filename of that type",
    ),
    Case(
        "column_dropped",
        "payment",
        ("ALTER TABLE payment DROP paid",),
        ("ALTER TABLE payment ADD paid boolean NOT NULL DEFAULT true",),
        "expected boolean, found no such column",
    ),
    Case(
        "key_changed",
        "payment",
        ("ALTER TABLE payment DROP CONSTRAINT payment_pkey CASCADE",),
        ("ALTER TABLE payment ADD PRIMARY KEY (payment_id)",),
        "expected the primary key payment_id, found no primary key",
    ),
    Case(
        "table_missing", "payment", ("ALTER TABLE payment RENAME TO payments",), ("ALTER TABLE payments RENAME TO payment",), "found none"
    ),
    Case(
        "not_a_table",
        "payment",
        ("ALTER TABLE payment RENAME TO payments", "CREATE VIEW payment AS SELECT * FROM payments"),
        ("DROP VIEW payment", "ALTER TABLE payments RENAME TO payment"),
        "expected a table, found a view",
    ),
    Case(
        "table_unreadable",
        "payment",
        ("REVOKE SELECT ON payment FROM ingest_reader",),
        ("GRANT SELECT ON payment TO ingest_reader",),
        "expected SELECT for our role, found no such right",
    ),
    Case(
        "column_unreadable",
        "payment",
        ("REVOKE SELECT ON payment FROM ingest_reader", "GRANT SELECT (payment_id, paid) ON payment TO ingest_reader"),
        ("GRANT SELECT ON payment TO ingest_reader",),
        "payment.company_ac_number: expected SELECT for our role, found no such right",
    ),
    Case(
        "rows_hidden",
        "design",
        ("ALTER TABLE design ENABLE ROW LEVEL SECURITY",),
        ("ALTER TABLE design DISABLE ROW LEVEL SECURITY",),
        "row level security hides rows from our role",
    ),
]
LETTERS = {"scale_changed": [1, 2, 3, 4], "type_changed": [1, 2, 3, 4], "key_changed": [4]}  # a change of type writes every row anew


@pytest.fixture
def four(ingest: Any) -> Any:
    """Ingest of four tables, with rows 1 to 3 of those that drift read already. Foreign keys are none of the matter here."""
    ingest.only("design", "payment", "transaction", "currency")
    ingest.execute_as_superuser(f"ALTER DATABASE {ingest.source.dbname} SET session_replication_role = 'replica'")
    ingest.execute(insert(1, 2, 3), *(ROWS[table](key) for table in ("payment", "transaction") for key in (1, 2, 3)))
    assert ingest.tick().has_rows
    return ingest


def test_every_kind_of_drift_is_tried() -> None:
    assert {case.kind for case in CASES} == set(OUTCOMES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.kind)
def test_drift_has_its_outcome_while_the_others_go_on_and_nothing_is_missing_in_the_end(four: Any, case: Case) -> None:
    outcome, (key,) = OUTCOMES[case.kind], [four.contracts[case.table].key]
    four.execute(*case.change)
    if case.kind not in ("table_missing", "not_a_table", "column_dropped", "column_renamed"):
        four.execute(ROWS[case.table](4))
    four.execute(CURRENCY.format(1))
    batch = four.tick()

    assert four.keys(batch, "currency") == [1]
    if outcome == HOLD:
        assert case.says in batch.held[case.table].reason
        assert ("grant" in batch.held[case.table].cure) == (case.kind in ("table_unreadable", "column_unreadable"))
        assert batch.tables[case.table].rows == 0
        assert four.alerts() == [("table held", case.table)]
        assert four.letters(case.table) == LETTERS.get(case.kind, [])
    else:
        assert batch.held == {}
        assert any(case.says in text for text in batch.drift[case.table])
        assert 4 in four.keys(batch, case.table)
        assert four.alerts() == [("source changed", case.table)]
    assert four.tick().held.keys() == batch.held.keys()
    assert four.alerts() == []  # it has been said

    four.execute(*case.settle)
    four.execute(ROWS[case.table](5))
    last = four.tick()
    assert last.held == {}
    landed = {row for seq in range(1, last.seq + 1) for row in four.landed(seq, case.table)}
    assert landed == {found for (found,) in four.query(f"SELECT {key} FROM {case.table}")}
    assert last.tables[case.table].row_count == len(landed)
    assert last.tables[case.table].dead_letters is None


def test_a_contract_may_want_another_outcome(four: Any) -> None:
    design = four.contracts["design"]
    four.contracts["design"] = replace(design, drift={"column_added": HOLD})
    four.execute("ALTER TABLE design ADD note text")
    assert list(four.tick().held) == ["design"]


def test_drift_that_must_fail_stops_the_run_before_anything_is_read(four: Any) -> None:
    design = four.contracts["design"]
    four.contracts["design"] = replace(design, drift={"column_renamed": "fail"})
    four.execute("ALTER TABLE design RENAME file_name TO filename", CURRENCY.format(1))
    before = four.newest()
    with pytest.raises(BadDataError, match=r"design\.file_name: expected text, found no such column, but filename .* Nothing was read"):
        job.run(four.arguments, four.clients, four.contracts, Demands())
    assert four.newest() == before


def test_a_table_that_drifts_before_its_first_read_is_held_and_comes_in_whole(ingest: Any) -> None:
    ingest.only("design", "currency").execute(insert(1), "ALTER TABLE design RENAME file_name TO filename", CURRENCY.format(1))
    batch = ingest.tick()
    assert (list(batch.held), list(batch.tables)) == (["design"], ["currency"])
    assert ingest.letters("design") == [1]
    ingest.execute("ALTER TABLE design RENAME filename TO file_name", insert(2))
    assert ingest.keys(ingest.tick(), "design") == [1, 2]


def test_rows_of_a_held_table_are_put_into_the_dead_letter_as_they_are(four: Any) -> None:
    four.execute("ALTER TABLE design RENAME file_name TO filename", rename(2, "Gone on"))
    batch = four.tick()
    key = layout.dead_letter_key("design", batch.ingest_date, batch.batch_id)
    (letter,) = [json.loads(line) for line in four.raw.get(key).decode().splitlines()]
    assert (letter["key"], letter["row"]["design_name"], letter["row"]["filename"]) == (2, "Gone on", "d.json")
    assert (letter["batch_id"], letter["contract_version"], letter["snapshot_at"]) == (batch.batch_id, 1, batch.snapshot_at)
    assert letter["reason"] == batch.held["design"].reason
    four.execute(rename(3, "Later"))
    later = four.tick()
    assert (four.letters("design"), later.held["design"].dead_rows) == ([2, 3], 2)


def test_a_column_that_was_made_anew_with_other_values_is_read_again(four: Any) -> None:
    four.execute("ALTER TABLE design DROP file_name", "ALTER TABLE design ADD file_name text NOT NULL DEFAULT 'new.json'")
    rows = four.rows(four.tick(), "design")
    assert [row["file_name"] for row in rows] == ["new.json"] * 3


def test_values_that_a_wider_type_brings_and_the_contract_cannot_hold_go_to_the_dead_letter_alone(four: Any) -> None:
    four.execute("ALTER TABLE payment ALTER payment_amount TYPE numeric(14,2)", PAYMENT.format(4), PAYMENT.format(5))
    four.execute("UPDATE payment SET payment_amount = 123456789012.50 WHERE payment_id = 4")
    batch = four.tick()
    assert four.keys(batch, "payment") == [5]
    assert four.letters("payment") == [4]
    assert OUTCOMES["precision_changed"] == EVOLVE
    assert OUTCOMES["column_added"] == IGNORE
