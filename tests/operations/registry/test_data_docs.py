"""The data dictionary is what the contracts say, and says of each warehouse column where it comes from."""

from __future__ import annotations

import re

import pytest
from totesys.contracts import Column, Contract, load_contracts

from operations.cli.schema import DATA_DOCS
from operations.registry.data_docs import data_docs

CONTRACTS = load_contracts()
WAREHOUSE_COLUMNS = [
    pytest.param(contract, column, id=f"{contract.table}.{column.name}")
    for contract in CONTRACTS.warehouse.values()
    for column in contract.columns
]
DRAWINGS = re.findall(r"```mermaid\n(.*?)```", data_docs(CONTRACTS), re.DOTALL)


def test_the_data_dictionary_is_what_the_contracts_say() -> None:
    assert DATA_DOCS.read_text("utf-8") == data_docs(CONTRACTS), "docs/data.md is stale: run scripts/totesys schema docs"


@pytest.mark.parametrize(("contract", "column"), WAREHOUSE_COLUMNS)
def test_each_warehouse_column_names_its_origin(contract: Contract, column: Column) -> None:
    assert column.origin
    named = re.findall(r"\b([a-z]\w*)\.([a-z]\w*)", column.origin)
    for table, name in named:
        assert table in contract.inputs
        assert CONTRACTS.source[table].column(name)
    assert named or column.assigned_by or column.origin.startswith("generated")


def test_source_stars_and_warehouse_are_drawn() -> None:
    assert len(DRAWINGS) == 1 + 1 + len(CONTRACTS.facts)
    assert all(f"    {table} {{\n" in DRAWINGS[0] for table in CONTRACTS.source)
    assert all(f"    {table} {{\n" in DRAWINGS[1] for table in CONTRACTS.warehouse)


def test_each_reference_is_drawn() -> None:
    for contract in (*CONTRACTS.source.values(), *CONTRACTS.warehouse.values()):
        for column in contract.columns:
            if column.references:
                drawn = rf"^    {column.references} (\|o|\|\|)--(o\||o\{{) {contract.table} : {column.name}$"
                assert any(re.search(drawn, drawing, re.MULTILINE) for drawing in DRAWINGS), (contract.table, column.name)


@pytest.mark.parametrize("drawing", DRAWINGS, ids=["source", "warehouse", *CONTRACTS.facts])
def test_a_drawing_has_only_lines_that_mermaid_reads(drawing: str) -> None:
    entity, attribute, relation = r"    \w+ \{", r"        [a-z]+\w* \w+( PK| FK| PK, FK)?", r"    \w+ (\|o|\|\|)--(o\||o\{) \w+ : \w+"
    lines = drawing.rstrip().splitlines()
    assert lines[0] == "erDiagram"
    assert [line for line in lines[1:] if not re.fullmatch(f"{entity}|{attribute}|    }}|{relation}", line)] == []
