"""A contract takes the place of the registered one, or the deploy refuses before it changes anything and says why."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from totesys.contracts import Contract, load_contracts, parse_contract
from totesys.errors import FatalError

from operations.deployment.compatible import breaches, check_contracts, refused
from tests.support.stack import DeployedStack, registered_as

DESIGN = json.loads(load_contracts().source["design"].body)
COLUMN = {"name": "colour", "type": "string", "source_type": "text", "nullable": True, "description": "Colour."}


def design(version: int = 2, columns: list[dict[str, Any]] | None = None, **changes: Any) -> Contract:
    return parse_contract({**DESIGN, "version": version, "columns": columns or DESIGN["columns"], **changes})


def with_column(name: str, **changes: Any) -> list[dict[str, Any]]:
    return [{**column, **changes} if column["name"] == name else column for column in DESIGN["columns"]]


def texts(wanted: Contract) -> list[str]:
    return [breach.text for breach in breaches(load_contracts().source["design"], wanted)]


@pytest.mark.parametrize(
    "wanted",
    [
        design(columns=[COLUMN, *DESIGN["columns"]]),
        design(columns=with_column("file_name", description="File.", nullable=True)),
        design(columns=with_column("created_at", minimum="1990-01-01")),
        design(columns=with_column("design_name", values=["a"])),
        design(columns=with_column("design_name", source_type="character varying(9)")),
        design(drift={"column_dropped": "fail"}),
        design(version=1),
    ],
    ids=["new nullable column", "description and nullability", "range", "values", "source type", "drift", "no change"],
)
def test_a_change_that_no_reader_notices_is_registered(wanted: Contract) -> None:
    assert texts(wanted) == []


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (
            design(columns=DESIGN["columns"][:-1]),
            "design.last_updated: timestamp is registered, and the wanted contract has no such column",
        ),
        (design(columns=with_column("file_name", type="int")), "design.file_name: registered as string, wanted is int"),
        (design(columns=[*DESIGN["columns"], {**COLUMN, "nullable": False}]), "design.colour: a new column that is not nullable"),
        (design(key="file_name"), "design: key was registered as design_id, wanted is file_name"),
        (design(range_size=7), "design: range_size was registered as 100000, wanted is 7"),
        (
            design(partition={"name": "year", "type": "int", "description": "Year."}),
            "design: partition was registered as key_range int, wanted is year int",
        ),
        (design(version_of="design_id"), "design: version_of was registered as None, wanted is design_id"),
    ],
    ids=["removed", "type", "required", "key", "range_size", "partition", "version_of"],
)
def test_a_change_that_breaks_readers_is_refused_unless_it_is_accepted(wanted: Contract, said: str) -> None:
    (text,) = texts(wanted)
    assert text.startswith(said)
    registered = {"design": load_contracts().source["design"]}
    assert refused(registered, {"design": wanted}, accepted=["design"]) == []


@pytest.mark.parametrize(
    ("name", "types"),
    [
        ("sales_order_id", {"type": "bigint", "warehouse_type": "bigint"}),
        ("sales_order_id", {"type": "bigint"}),
        ("unit_price", {"type": "decimal(14,2)", "warehouse_type": "numeric(14,2)"}),
        ("sales_record_id", {"type": "bigint", "warehouse_type": "bigint"}),
        ("design_id", {"nullable": True}),
    ],
)
def test_a_type_that_holds_all_that_the_one_before_held_is_registered(name: str, types: dict[str, Any]) -> None:
    before = load_contracts().warehouse["fact_sales_order"]
    body = json.loads(before.body)
    columns = [{**column, **types} if column["name"] == name else column for column in body["columns"]]
    wide = parse_contract({**body, "version": 2, "columns": columns})
    assert list(breaches(before, wide)) == []


@pytest.mark.parametrize(
    ("name", "types", "said"),
    [
        ("sales_order_id", {"type": "int"}, "registered as bigint, wanted is int"),
        ("unit_price", {"type": "decimal(10,2)"}, r"registered as decimal(14,2), wanted is decimal(10,2)"),
        ("unit_price", {"type": "decimal(14,3)"}, r"registered as decimal(14,2), wanted is decimal(14,3)"),
        ("units_sold", {"type": "string"}, "registered as int, wanted is string"),
        ("units_sold", {"type": "decimal(10,0)"}, "registered as int, wanted is decimal(10,0)"),
    ],
)
def test_a_type_that_may_lose_something_is_a_break(name: str, types: dict[str, Any], said: str) -> None:
    body = json.loads(load_contracts().source["sales_order"].body)
    wide = {"sales_order_id": {"type": "bigint"}, "unit_price": {"type": "decimal(14,2)"}}
    before = parse_contract({**body, "columns": [{**column, **wide.get(column["name"], {})} for column in body["columns"]]})
    changed = [{**column, **types} if column["name"] == name else column for column in json.loads(before.body)["columns"]]
    (breach,) = breaches(before, parse_contract({**body, "version": 2, "columns": changed}))
    assert breach.is_breaking and said in breach.text


def test_a_warehouse_column_that_cannot_hold_its_origin_is_refused_by_name() -> None:
    contracts = load_contracts()
    body = json.loads(contracts.source["sales_order"].body)
    wide = [{**column, "type": "bigint"} if column["name"] == "sales_order_id" else column for column in body["columns"]]
    source = {**contracts.source, "sales_order": parse_contract({**body, "version": 2, "columns": wide})}
    said = "fact_sales_order.sales_order_id is int, but sales_order.sales_order_id is bigint: widen it"
    with pytest.raises(FatalError, match=said):
        check_contracts(None, replace(contracts, source=source), None, {"TOTESYS_ACCEPT_BREAKING": "fact_sales_order"})


def test_a_contract_that_does_not_follow_the_schema_is_refused_by_table_and_column() -> None:
    contracts = load_contracts()
    bad = design(columns=with_column("file_name", description=""))
    with pytest.raises(FatalError, match=r"contract of design does not follow catalog/contract.schema.json: column file_name description"):
        check_contracts(None, replace(contracts, source={**contracts.source, "design": bad}), None, {})


@pytest.mark.parametrize(
    ("registered", "wanted", "said"),
    [
        (1, design(version=1, description="Other."), "the contract changed and its version is still 1: raise it"),
        (3, design(version=2), "version 3 is registered, and 2 is older: raise it"),
    ],
    ids=["not raised", "lowered"],
)
def test_a_version_that_does_not_rise_is_refused_even_if_a_break_is_accepted(registered: int, wanted: Contract, said: str) -> None:
    (breach,) = refused({"design": design(version=registered)}, {"design": wanted}, accepted=["design"])
    assert breach.text == f"design: {said}"


def test_an_accepted_table_that_no_contract_describes_is_an_error() -> None:
    with pytest.raises(FatalError, match="TOTESYS_ACCEPT_BREAKING names desing, which no contract describes"):
        check_contracts(None, load_contracts(), {}, {"TOTESYS_ACCEPT_BREAKING": "desing"})


def test_a_deploy_refuses_before_it_changes_anything_and_names_every_problem(stack: DeployedStack) -> None:
    gone = {"name": "gone", "type": "string", "source_type": "text", "nullable": True, "description": "Gone."}
    more = {table: json.loads(load_contracts().source[table].body) for table in ("design", "currency")}
    bodies = {table: json.dumps({**body, "columns": [*body["columns"], gone]}) for table, body in more.items()}
    with registered_as(stack, "design", bodies["design"]), registered_as(stack, "currency", bodies["currency"]):
        result = stack.deploy(TOTESYS_ACCEPT_BREAKING="currency")
    assert result.returncode == 1
    assert "no table was changed" in result.stderr
    assert "design.gone: string is registered" in result.stderr and "currency.gone" not in result.stderr
    assert "currency: the contract changed and its version is still 1" in result.stderr
    assert "stack deploy-test-storage" not in result.stdout


def test_a_registered_contract_that_cannot_be_read_is_replaced_only_by_a_persons_word(stack: DeployedStack) -> None:
    databases = {"ingestion": stack.deployment.ingestion_database, "star": stack.deployment.star_database}
    with registered_as(stack, "design", "{}"):
        with pytest.raises(FatalError, match=r"design: the registered contract cannot be read.*TOTESYS_ACCEPT_BREAKING=<table>"):
            check_contracts(stack.aws.glue, load_contracts(), databases, {})
        assert check_contracts(stack.aws.glue, load_contracts(), databases, {"TOTESYS_ACCEPT_BREAKING": "design"}) == 0
