"""Every kind of drift of the source: what flows, what is held, what is said once, and that nothing is missing once it is settled."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from totesys.errors import BadDataError
from totesys.ingest import job
from totesys.ingest.drift import EVOLVE, HOLD, IGNORE, OUTCOMES
from totesys.lake import layout
from totesys.runtime.run_request import RunRequest

from tests.ingest.designs import insert, rename
from tests.ingest.drift_cases import CASES, CURRENCY, PAYMENT, ROWS, DriftCase

LETTERS = {"scale_changed": [1, 2, 3, 4], "type_changed": [1, 2, 3, 4], "key_changed": [4]}  # a change of type writes every row anew


@pytest.fixture
def four(ingest: Any) -> Any:
    """Ingest of four tables, with rows 1 to 3 of those that drift read already. Foreign keys are not tested here."""
    ingest.only("design", "payment", "transaction", "currency")
    ingest.execute_as_superuser(f"ALTER DATABASE {ingest.source.dbname} SET session_replication_role = 'replica'")
    ingest.execute(insert(1, 2, 3), *(ROWS[table](key) for table in ("payment", "transaction") for key in (1, 2, 3)))
    assert ingest.tick().has_rows
    return ingest


def test_every_kind_of_drift_is_tried() -> None:
    assert {case.kind for case in CASES} == set(OUTCOMES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.kind)
def test_drift_has_its_outcome_while_the_others_go_on_and_nothing_is_missing_in_the_end(four: Any, case: DriftCase) -> None:
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
        job.run(four.arguments, four.clients, four.contracts, RunRequest())
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


def test_a_column_that_was_rebuilt_with_other_values_is_read_again(four: Any) -> None:
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
