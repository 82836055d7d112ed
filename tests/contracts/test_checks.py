"""A contract that no job could work by is refused where it is read, and the message names table and column."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from totesys.contracts import TAKEN_NAMES, UNREADABLE, Contract, load_contracts, parse_contract
from totesys.errors import FatalError
from totesys.lake.catalog_tables import mirror_table_inputs, raw_table_inputs, star_table_inputs
from totesys.warehouse.models import waiting_table

CONTRACTS = load_contracts()
DESIGN = json.loads(CONTRACTS.source["design"].body)
COLOUR = {"name": "colour", "type": "string", "source_type": "text", "nullable": True, "description": "Colour."}


def with_column(**changes: Any) -> dict[str, Any]:
    """The contract of design with a column more."""
    return {**DESIGN, "columns": [*DESIGN["columns"], {**COLOUR, **changes}]}


@pytest.mark.parametrize(
    "name",
    [
        "is_deleted",
        "batch_seq",
        "source_xid",
        "is_reinserted",
        "key_range",
        "ingest_date",
        "batch_id",
        "unreadable",
        "waits_for",
        "went_in_after",
    ],
)
def test_a_name_that_the_pipeline_uses_itself_is_refused_with_the_list_of_them(name: str) -> None:
    said = rf"the contract of design cannot be used: column {name} has a name that the pipeline uses itself \(batch_id, batch_seq, "
    with pytest.raises(FatalError, match=said):
        parse_contract(with_column(name=name))


def test_a_fact_cannot_have_a_column_named_as_its_partition() -> None:
    body = json.loads(CONTRACTS.warehouse["fact_payment"].body)
    day = {"name": "batch_day", "type": "string", "warehouse_type": "varchar", "nullable": True, "description": "Day.", "origin": "made"}
    with pytest.raises(FatalError, match="the contract of fact_payment cannot be used: column batch_day has a name that the pipeline uses"):
        parse_contract({**body, "columns": [*body["columns"], day]})


@pytest.mark.parametrize("contract", [*CONTRACTS.source.values(), *CONTRACTS.warehouse.values()], ids=lambda contract: contract.table)
def test_every_column_that_is_not_the_contracts_has_a_taken_name(contract: Contract) -> None:
    own = {column.name for column in contract.columns}
    tables = [*raw_table_inputs(CONTRACTS, "b"), *mirror_table_inputs(CONTRACTS, "b"), *star_table_inputs(CONTRACTS, "b")]
    added = {
        column["Name"]
        for table in tables
        if table["Name"] == contract.table
        for column in (*table["StorageDescriptor"]["Columns"], *table["PartitionKeys"])
    }
    if contract.version_of:
        added.update(waiting_table(contract).columns.keys())
    assert added - own <= TAKEN_NAMES | {contract.partition.name}
    assert UNREADABLE in TAKEN_NAMES


def test_the_page_on_drift_lists_every_taken_name() -> None:
    page = (Path(__file__).parents[2] / "docs" / "drift.md").read_text("utf-8")
    listed = page.partition("The names that the pipeline uses itself: ")[2].partition(",\nand the name of")[0]
    assert listed == ", ".join(f"`{name}`" for name in sorted(TAKEN_NAMES))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (with_column(name="Colour"), "column 'Colour' must have a name of lower-case letters, digits and underscores"),
        (with_column(name="a.b"), r"column 'a\.b' must have a name of lower-case letters"),
        (with_column(name="colour\n"), r"column 'colour\\n' must have a name of lower-case letters"),
        (with_column(name="_colour"), "column '_colour' must have a name of lower-case letters, .*, with a letter first"),
        (with_column(name="Design_Name"), "column design_name occurs more than once; names that differ only in case are the same name"),
        (with_column(name="design_name"), "column design_name occurs more than once"),
        (with_column(type="float"), "column colour has the type float, which no job knows"),
        (with_column(type="decimal(39,2)"), r"column colour has the type decimal\(39,2\), which no job knows"),
        (with_column(type="decimal(2,4)"), r"column colour has the type decimal\(2,4\), which no job knows"),
        (with_column(warehouse_type="text"), "column colour has the warehouse_type text, which the load does not know"),
        (with_column(surprise=1), "column colour has unknown keys: surprise"),
        (with_column(nullable="yes"), "column colour does not say whether it is nullable"),
        ({**DESIGN, "surprise": 1}, "the table has unknown keys: surprise"),
        ({**DESIGN, "columns": []}, "columns must be a list of one or more columns"),
        ({**DESIGN, "version": "2"}, "version must be a whole number of at least 0"),
        ({**DESIGN, "range_size": 0}, "range_size must be a whole number of at least 1"),
        ({**DESIGN, "key": "number"}, "key names number, which is not a column of the contract"),
        ({**DESIGN, "kind": "view"}, "kind must be one of source, dimension, fact"),
        ({**DESIGN, "kind": "fact"}, "version_of is missing"),
        ({name: value for name, value in DESIGN.items() if name != "grain"}, "the table lacks grain"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_no_job_could_work_by_is_refused(body: dict[str, Any], said: str) -> None:
    with pytest.raises(FatalError, match=f"the contract of design cannot be used: .*{said}"):
        parse_contract(body)


@pytest.mark.parametrize("body", [{}, [], None, {"table": "A table"}], ids=str)
def test_what_names_no_table_is_refused(body: Any) -> None:
    with pytest.raises(FatalError, match="a contract has no valid table name"):
        parse_contract(body)
