"""What a draft takes over from the source, and how two contracts are told apart."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from totesys.contracts import load_contracts, parse_contract
from totesys.contracts.types import lake_type
from totesys.ingest.drift import LiveColumn, LiveTable

from operations.deployment.compatible import breaches
from operations.registry.changes import changes
from operations.registry.propose import propose

CATALOG = Path(__file__).parents[3] / "catalog"
BODY = json.loads((CATALOG / "source" / "transaction.json").read_text("utf-8"))
CONTRACT = load_contracts().source["transaction"]


def column(type_: str, not_null: bool, labels: tuple[str, ...] = ()) -> LiveColumn:
    return LiveColumn(number=1, type=type_, not_null=not_null, labels=labels)


def live(**changed: LiveColumn | None) -> LiveTable:
    """The table of the contract at the source, with other columns, or (None) without them."""
    columns = {one.name: column(str(one.source_type), not one.nullable, one.values) for one in CONTRACT.columns}
    kept = {name: found for name, found in {**columns, **changed}.items() if found}
    return LiveTable(oid=1, kind="r", hides_rows=False, columns=kept, key=("transaction_id",))


def test_a_source_that_is_as_the_contract_says_gives_nothing_to_propose() -> None:
    assert propose(BODY, live(), 1) == (BODY, [], [])


def test_a_new_column_is_nullable_and_awaits_its_description() -> None:
    draft, notes, _ = propose(BODY, live(note=column("numeric(12,4)", True)), 2)
    assert draft["version"] == 2 and draft["columns"][:-1] == BODY["columns"]
    assert draft["columns"][-1] == {
        "name": "note", "type": "decimal(12,4)", "source_type": "numeric(12,4)", "nullable": True, "description": "TODO: what note is.",
    }  # fmt: skip
    assert notes == ["note: added as decimal(12,4) from numeric(12,4); write its description"]


@pytest.mark.parametrize(
    ("name", "found", "expected", "note"),
    [
        ("sales_order_id", None, None, "sales_order_id: not at the source any more, so left out"),
        (
            "sales_order_id",
            column("bigint", False),
            {"type": "bigint", "source_type": "bigint"},
            "sales_order_id: integer became bigint; in the lake int becomes bigint; also widen the columns in catalog/warehouse",
        ),
        (
            "created_at",
            column("timestamp(6) without time zone", True),
            {"type": "timestamp", "source_type": "timestamp(6) without time zone"},
            "created_at: timestamp(3) without time zone became timestamp(6) without time zone",
        ),
        ("created_at", column("timestamp(3) without time zone", False), {"nullable": True}, "created_at: nulls are allowed now"),
        (
            "transaction_type",
            column("transaction_type", True, ("SALE", "PURCHASE", "GIFT")),
            {"values": ["SALE", "PURCHASE", "GIFT"]},
            "transaction_type: the labels are SALE, PURCHASE, GIFT now",
        ),
    ],
    ids=["dropped", "type", "precision", "nulls", "labels"],
)
def test_a_changed_column_is_brought_up_to_the_source(
    name: str, found: LiveColumn | None, expected: dict[str, object] | None, note: str
) -> None:
    draft, notes, _ = propose(BODY, live(**{name: found}), 2)
    columns = {drafted["name"]: drafted for drafted in draft["columns"]}
    (before,) = [known for known in BODY["columns"] if known["name"] == name]
    assert columns.get(name) == (None if expected is None else {**before, **expected})
    assert len(notes) == 1 and notes[0].startswith(note)


PAYMENT = json.loads((CATALOG / "source" / "payment.json").read_text("utf-8"))


@pytest.mark.parametrize(
    ("name", "live_type", "kept"),
    [
        ("payment_date", "date", {"type": "string", "format": "date"}),
        ("payment_date", "character varying(10)", {"type": "string", "format": "date"}),
        ("payment_date", "character(10)", {"type": "string", "format": "date"}),
        ("payment_amount", "numeric(8,2)", {"type": "decimal(10,2)"}),
        ("company_ac_number", "smallint", {"type": "int"}),
    ],
)
def test_a_type_of_the_lake_that_holds_what_comes_now_stays(name: str, live_type: str, kept: dict[str, str]) -> None:
    columns = {one.name: column(str(one.source_type), not one.nullable) for one in load_contracts().source["payment"].columns}
    table = LiveTable(1, "r", False, {**columns, name: column(live_type, True)}, ("payment_id",))
    draft, notes, _ = propose(PAYMENT, table, 2)
    (drafted,) = [one for one in draft["columns"] if one["name"] == name]
    (before,) = [one for one in PAYMENT["columns"] if one["name"] == name]
    assert drafted == {**before, **kept, "source_type": live_type}
    assert notes == [f"{name}: {before['source_type']} became {live_type}"]
    assert list(breaches(load_contracts().source["payment"], parse_contract(draft))) == []


def test_an_enum_that_became_text_keeps_its_labels_as_a_rule() -> None:
    draft, notes, _ = propose(BODY, live(transaction_type=column("text", True)), 2)
    assert parse_contract(draft).column("transaction_type").values == ("SALE", "PURCHASE")
    assert notes == ["transaction_type: transaction_type became text"]


@pytest.mark.parametrize(
    ("name", "type_", "note"),
    [
        ("payment_amount", "numeric(14,2)", "in the lake decimal(10,2) becomes decimal(14,2); also widen the columns in catalog/warehouse"),
        ("payment_amount", "numeric(14,4)", "in the lake decimal(10,2) becomes decimal(14,4), which scripts/deploy.sh refuses"),
        ("payment_date", "timestamp(3) without time zone", "in the lake string becomes timestamp, which scripts/deploy.sh refuses"),
        ("company_ac_number", "text", "in the lake int becomes string, which scripts/deploy.sh refuses until a person accepts it"),
    ],
)
def test_a_note_says_whether_the_deploy_will_take_the_type(name: str, type_: str, note: str) -> None:
    columns = {one.name: column(str(one.source_type), not one.nullable) for one in load_contracts().source["payment"].columns}
    _, (said,), _ = propose(PAYMENT, LiveTable(1, "r", False, {**columns, name: column(type_, True)}, ("payment_id",)), 2)
    assert note in said


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("is_deleted", "the pipeline uses the name itself (batch_id, batch_seq, "),
        ("Batch_Seq", "the pipeline uses the name itself"),
        ("Sales_Order_Id", "sales_order_id is in the contract, and the lake does not tell names apart by case"),
        ("Note", "its name has other characters than lower-case letters, digits and underscores"),
        ("a.b", "its name has other characters than lower-case letters, digits and underscores"),
    ],
)
def test_a_new_column_whose_name_no_contract_can_have_is_left_out_with_what_to_do(name: str, why: str) -> None:
    draft, notes, (left_out,) = propose(BODY, live(**{name: column("text", False)}), 1)
    assert (draft, notes) == (BODY, [])
    assert left_out.startswith(f"{name}: left out, since {why}")
    assert left_out.endswith("To bring it in, give it another name at the source")


def test_a_draft_follows_the_contracts_schema() -> None:
    draft, _, _ = propose(BODY, live(kind=column("kinds", False, ("a", "b"))), 2)
    jsonschema.Draft202012Validator(json.loads((CATALOG / "contract.schema.json").read_text("utf-8"))).validate(draft)
    assert parse_contract(draft).column("kind").values == ("a", "b")


@pytest.mark.parametrize(
    ("source_type", "expected"),
    [
        ("smallint", "int"),
        ("bigint", "bigint"),
        ("numeric(10,2)", "decimal(10,2)"),
        ("numeric", "string"),
        ("numeric(50,2)", "string"),
        ("character varying(3)", "string"),
        ("date", "date"),
        ("timestamp without time zone", "timestamp"),
        ("timestamp(3) with time zone", "string"),
        ("double precision", "string"),
    ],
)
def test_the_lakes_type_holds_every_value_of_the_sources(source_type: str, expected: str) -> None:
    assert lake_type(source_type) == expected


def test_every_difference_between_two_contracts_is_named_but_the_version() -> None:
    body = json.loads(CONTRACT.body)
    first = {**body["columns"][0], "description": "Number."}
    added = {"name": "note", "type": "string", "source_type": "text", "nullable": True, "description": "Note."}
    after = parse_contract({**body, "version": 2, "grain": "a row", "columns": [first, *body["columns"][2:], added]})
    removed = CONTRACT.columns[1].name
    assert changes(CONTRACT, after) == [
        f"grain: {CONTRACT.grain} -> a row",
        f"{removed}: removed, was string, not nullable",
        "note: added, string, nullable",
        f"transaction_id.description: {CONTRACT.columns[0].description} -> Number.",
    ]
    assert changes(CONTRACT, replace(CONTRACT, version=3)) == []
