"""A contract takes the place of the registered one, or the deploy refuses before it changes anything and says why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from totesys.contracts import Contract, load_contracts, parse_contract
from totesys.errors import FatalError

from operations.deploy.compatible import check_contracts, problems, refused
from tests.stack_fixtures import Stack

DESIGN = json.loads(load_contracts().source["design"].body)
COLUMN = {"name": "colour", "type": "string", "source_type": "text", "nullable": True, "description": "Colour."}


def design(version: int = 2, columns: list[dict[str, Any]] | None = None, **changes: Any) -> Contract:
    return parse_contract({**DESIGN, "version": version, "columns": columns or DESIGN["columns"], **changes})


def with_column(name: str, **changes: Any) -> list[dict[str, Any]]:
    return [{**column, **changes} if column["name"] == name else column for column in DESIGN["columns"]]


def texts(wanted: Contract) -> list[str]:
    return [problem.text for problem in problems(load_contracts().source["design"], wanted)]


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
    ("registered", "wanted", "said"),
    [
        (1, design(version=1, description="Other."), "the contract changed and its version is still 1: raise it"),
        (3, design(version=2), "version 3 is registered, and 2 is older: raise it"),
    ],
    ids=["not raised", "lowered"],
)
def test_a_version_that_does_not_rise_is_refused_even_if_a_break_is_accepted(registered: int, wanted: Contract, said: str) -> None:
    (problem,) = refused({"design": design(version=registered)}, {"design": wanted}, accepted=["design"])
    assert problem.text == f"design: {said}"


def test_an_accepted_table_that_no_contract_describes_is_an_error() -> None:
    with pytest.raises(FatalError, match="TOTESYS_ACCEPT_BREAKING names desing, which no contract describes"):
        check_contracts(None, load_contracts(), {}, {"TOTESYS_ACCEPT_BREAKING": "desing"})


@contextmanager
def registered_as(stack: Stack, table: str, body: str, **parameters: str) -> Iterator[None]:
    """The table with another registered contract, and other parameters."""
    glue, place = stack.aws.glue, {"DatabaseName": stack.deployment.ingestion_database}
    found = glue.get_table(**place, Name=table)["Table"]
    kept: dict[str, Any] = {
        name: found[name] for name in ("Name", "Description", "Owner", "TableType", "StorageDescriptor", "PartitionKeys")
    }
    glue.update_table(**place, TableInput={**kept, "Parameters": {**found["Parameters"], "contract": body, **parameters}})
    try:
        yield
    finally:
        glue.update_table(**place, TableInput={**kept, "Parameters": found["Parameters"]})


def test_a_deploy_refuses_before_it_changes_anything_and_names_every_problem(stack: Stack) -> None:
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


def test_a_registered_contract_that_cannot_be_read_is_replaced_only_by_a_persons_word(stack: Stack) -> None:
    databases = {"ingestion": stack.deployment.ingestion_database, "processed": stack.deployment.processed_database}
    with registered_as(stack, "design", "{}"):
        with pytest.raises(FatalError, match=r"design: the registered contract cannot be read.*TOTESYS_ACCEPT_BREAKING=<table>"):
            check_contracts(stack.aws.glue, load_contracts(), databases, {})
        assert check_contracts(stack.aws.glue, load_contracts(), databases, {"TOTESYS_ACCEPT_BREAKING": "design"}) == 0
