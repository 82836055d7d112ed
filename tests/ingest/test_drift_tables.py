"""The tables of drift and of bad rows in docs/drift.md: each example is run, and what its line says happens."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.ingest.designs import insert
from tests.ingest.drift_cases import CASES, CURRENCY, PAYMENT, TRANSACTION

DOCUMENT = (Path(__file__).parents[2] / "docs" / "drift.md").read_text("utf-8")
STATEMENT = re.compile(r"`((?:ALTER|REVOKE) [^`]+)`( our role.*)?")
CHANGES = {case.kind: case.change for case in CASES}
ROWS = {"design": insert, "payment": PAYMENT.format, "transaction": TRANSACTION.format}
# A row that the line sends to the dead letter, after the line's change of structure.
MISFITS = {
    "type_widened": "UPDATE payment SET payment_id = 3000000000 WHERE payment_id = 2",
    "precision_changed": "UPDATE payment SET payment_amount = 123456789012.50 WHERE payment_id = 2",
    "nullability_loosened": "UPDATE payment SET payment_date = NULL WHERE payment_id = 2",
    "enum_value_added": "UPDATE transaction SET transaction_type = 'GIFT' WHERE transaction_id = 2",
}


def table(heading: str) -> list[list[str]]:
    """Return the rows of the document's table whose first heading is this one."""
    lines = DOCUMENT[DOCUMENT.index(f"| {heading} |") :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


DRIFT = table("kind of drift")
BAD_ROWS = {row: (examples, outcome) for row, examples, outcome in table("bad row")}


@pytest.fixture
def ten(ingest: Any) -> Any:
    """Ingest of four tables, with rows 1 to 10 of three of them read already. Foreign keys do not matter here."""
    ingest.only("design", "payment", "transaction", "currency")
    ingest.execute_as_superuser(f"ALTER DATABASE {ingest.source.dbname} SET session_replication_role = 'replica'")
    keys = range(1, 11)
    ingest.execute(insert(*keys), *(PAYMENT.format(key) for key in keys), *(TRANSACTION.format(key) for key in keys))
    ingest.tick()
    return ingest


@pytest.mark.parametrize("line", DRIFT, ids=lambda line: line[0].strip("`"))
def test_a_line_of_the_table_of_drift_is_true(ten: Any, line: list[str]) -> None:
    kind, example, outcome, rows = line[0].strip("`"), line[1], line[2], line[3]
    statement = STATEMENT.fullmatch(example)
    change = (statement[1] + (" ingest_reader" if statement[2] else ""),) if statement else CHANGES[kind]
    name = next(name for name in ROWS if name in change[0])
    ten.execute(*change)
    if "RENAME" not in change[0] and kind != "column_dropped":
        ten.execute(ROWS[name](11))
    ten.execute(*([MISFITS[kind]] if "dead letter" in rows and rows.startswith("flow") else ()), CURRENCY.format(1))
    batch = ten.tick()
    assert ten.keys(batch, "currency") == [1], "the other tables go on"
    if rows.startswith("flow"):
        assert (batch.held, outcome in ("ignore", "evolve"), ten.alerts()[-1]) == ({}, True, ("source changed", name))
        assert any(f"({kind})" in text for text in batch.drift[name])
        assert kind == "enum_value_removed" or 11 in ten.keys(batch, name)
        assert ten.letters(name) == ([3000000000 if kind == "type_widened" else 2] if "dead letter" in rows else [])
    else:
        assert (outcome, list(batch.held), batch.tables[name].rows) == ("hold", [name], 0)
        assert f"({kind})" in batch.held[name].reason
        new = {"held": 0, "held; new ones also in the dead letter": 1, "held; all are new": 11}[rows.partition(", since")[0]]
        assert len(ten.letters(name)) == (new if 11 in keys_at_source(ten, name) else 0)


def keys_at_source(ten: Any, name: str) -> set[int]:
    """The keys of a table, which may have another name by now, or be a view."""
    found = ten.query(f"SELECT to_regclass('{name}')::text")[0][0]
    return {key for (key,) in ten.query(f"SELECT {name}_id FROM {found or name + 's'}")}


SINGLE = [(row, change) for row, (examples, outcome) in BAD_ROWS.items() if outcome == "dead letter" for change in examples.split(", ")]


def test_every_line_of_the_table_of_bad_rows_is_tried() -> None:
    tried_below = {"a row of a table that drift holds", "a key that occurs twice", "a reference to a row that is kept out"}
    assert {row for row, _ in SINGLE} | tried_below == BAD_ROWS.keys()


@pytest.mark.parametrize(("row", "change"), SINGLE, ids=lambda text: text.strip("`"))
def test_a_bad_row_of_the_table_stays_out_alone(ten: Any, row: str, change: str) -> None:
    name = "transaction" if "transaction" in change else "payment"
    ten.execute("ALTER TYPE transaction_type ADD VALUE 'GIFT'")
    ten.execute("ALTER TABLE payment ALTER payment_date DROP NOT NULL", "ALTER TABLE payment ALTER payment_id TYPE bigint")
    ten.tick()
    ten.execute(f"UPDATE {name} SET {change.strip('`')} WHERE {name}_id = 2", ROWS[name](11))
    batch = ten.tick()
    assert (batch.held, 11 in ten.keys(batch, name), ten.letters(name)) == ({}, True, [3000000000 if "_id = " in change else 2])


def test_rows_of_a_table_that_drift_holds_are_dead_letters_and_come_in_with_it(ten: Any) -> None:
    examples, outcome = BAD_ROWS["a row of a table that drift holds"]
    assert outcome.startswith("dead letter")
    ten.execute(examples.split("`")[3], "UPDATE payment SET payment_amount = 8.5 WHERE payment_id = 2")
    batch = ten.tick()
    assert (list(batch.held), ten.letters("payment")) == (["payment"], [2])
    ten.execute("ALTER TABLE payment RENAME is_paid TO paid")
    assert 2 in ten.keys(ten.tick(), "payment")


def test_a_key_that_occurs_twice_holds_its_table_and_no_other(ten: Any) -> None:
    assert BAD_ROWS["a key that occurs twice"][1].startswith("the whole table is held")
    ten.execute(
        "CREATE TABLE more () INHERITS (payment)", "INSERT INTO more SELECT * FROM payment WHERE payment_id = 2", CURRENCY.format(1)
    )
    batch = ten.tick()
    assert (list(batch.held), ten.keys(batch, "currency")) == (["payment"], [1])


def test_a_row_that_refers_to_one_that_is_kept_out_goes_into_the_lake(ten: Any) -> None:
    assert BAD_ROWS["a reference to a row that is kept out"][1].startswith("goes into the lake")
    ten.execute("ALTER TYPE transaction_type ADD VALUE 'GIFT'")
    ten.execute(TRANSACTION.format(11), "UPDATE transaction SET transaction_type = 'GIFT' WHERE transaction_id = 11", PAYMENT.format(11))
    batch = ten.tick()
    assert (ten.letters("transaction"), ten.keys(batch, "payment")) == ([11], [11])
