"""Write the data dictionary, docs/data.md, from the contracts: tables, columns, and how they refer to each other. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from totesys.contracts import DIMENSION_LINEAGE, FACT_LINEAGE, MIRROR_LINEAGE, RAW_LINEAGE, Column, Contract, Contracts

_HEADER = """\
# Data dictionary

Every table and column of the source, of the lake and of the warehouse. This page is made from the contracts in `catalog/`:
do not edit it. Change a contract, then run `scripts/totesys schema docs`.

In the drawings, PK marks a primary key and FK a foreign key. The label of a line is the column that refers to the other table.
"""
_SOURCE = """\
## The source

The lake has each of these tables twice, with the same columns: every row version that a batch read in the ingestion bucket, and the latest
row of each key in the mirror.
"""
_WAREHOUSE = """\
## The warehouse

Dimensions hold the latest state of a row. Facts hold every version of a row: `current_payment`, `current_purchase_orders` and
`current_sales_order` are views of the newest ones. The lake's stars have the same columns, without the serials that the warehouse assigns.
This drawing shows only keys. Each star below is drawn with all its columns.
"""
_LINEAGE = """\
## Columns that the pipeline adds in the lake

"""
_LOAD = {
    "append": "append: a new version of a row is a new row, and no row is changed",
    "merge": "merge: a changed row replaces its earlier state",
}


def data_docs(contracts: Contracts) -> str:
    """Return the text of docs/data.md."""
    warehouse = contracts.warehouse
    parts = [_HEADER, _SOURCE, _drawing(contracts.source), *(_source_table(contract) for contract in contracts.source.values())]
    parts += [_WAREHOUSE, _drawing(warehouse, only_keys=True), *(_star(fact, warehouse) for fact in contracts.facts.values())]
    parts.append("## The warehouse's tables\n")
    parts += [_warehouse_table(contract) for contract in (*contracts.facts.values(), *contracts.dimensions.values())]
    return "\n".join([*parts, _LINEAGE + _lineage()])


def _star(fact: Contract, warehouse: Mapping[str, Contract]) -> str:
    around = {column.references for column in fact.columns if column.references}
    tables = {table: contract for table, contract in warehouse.items() if table == fact.table or table in around}
    return f"### The star of `{fact.table}`\n\n{fact.description}\n\n{_drawing(tables)}"


def _drawing(tables: Mapping[str, Contract], only_keys: bool = False) -> str:
    """Return an entity relationship diagram in Mermaid's language, which GitHub draws."""
    lines = ["```mermaid", "erDiagram"]
    for contract in tables.values():
        lines.append(f"    {contract.table} {{")
        lines += [f"        {_word(column)} {column.name}{mark}" for column, mark in _marked(contract) if mark or not only_keys]
        lines.append("    }")
    for contract in tables.values():
        lines += [_line(contract, column) for column in contract.columns if column.references in tables]
    return "\n".join([*lines, "```", ""])


def _marked(contract: Contract) -> Iterator[tuple[Column, str]]:
    for column in contract.columns:
        marks = [mark for mark, is_so in (("PK", column.name == contract.key), ("FK", column.references)) if is_so]
        yield column, f" {', '.join(marks)}" if marks else ""


def _line(contract: Contract, column: Column) -> str:
    parent = "|o" if column.nullable else "||"
    child = "o|" if column.unique else "o{"
    return f"    {column.references} {parent}--{child} {contract.table} : {column.name}"


def _word(column: Column) -> str:
    """Return the type's first word: Mermaid refuses spaces and commas in a type."""
    found = re.match(r"\w+", column.source_type or column.warehouse_type or column.type)
    return found[0] if found else column.type


def _source_table(contract: Contract) -> str:
    facts = [("Grain", contract.grain), ("Key", f"`{contract.key}`"), ("Contract", f"version {contract.version}")]
    headings = ("column", "type at the source", "type in the lake", "null", "meaning", "refers to", "allowed")
    rows = [
        [
            f"`{column.name}`", f"`{column.source_type}`", f"`{column.type}`", "yes" if column.nullable else "no", column.description,
            _refers(column), _allowed(column),
        ]
        for column in contract.columns
    ]  # fmt: skip
    return _table(contract, facts, headings, rows)


def _warehouse_table(contract: Contract) -> str:
    key = f"`{contract.key}`" + (f"; each row is a version of a `{contract.version_of}`" if contract.version_of else "")
    facts = [
        ("Grain", contract.grain),
        ("Key", key),
        ("Load", _LOAD["append" if contract.version_of else "merge"]),
        ("Made from", ", ".join(f"[`{table}`](#{table})" for table in contract.inputs) or "no source table: it is generated"),
        ("Partition in the lake", f"`{contract.partition.name}`: {contract.partition.description}"),
        ("Contract", f"version {contract.version}"),
    ]
    headings = ("column", "type", "type in the lake", "null", "meaning", "origin", "refers to", "allowed")
    rows = [
        [
            f"`{column.name}`", f"`{column.warehouse_type}`", "none" if column.assigned_by else f"`{column.type}`",
            "yes" if column.nullable else "no", column.description, _origin(column), _refers(column), _allowed(column),
        ]
        for column in contract.columns
    ]  # fmt: skip
    return _table(contract, facts, headings, rows)


def _table(contract: Contract, facts: Sequence[tuple[str, str]], headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    told = "\n".join(f"- {name}: {text}" for name, text in facts)
    return f"### `{contract.table}`\n\n{contract.description}\n\n{told}\n\n{_rows(headings, rows)}"


def _rows(headings: Sequence[str], rows: Collection[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _lineage() -> str:
    places = (("raw rows", RAW_LINEAGE), ("mirror", MIRROR_LINEAGE), ("dimensions", DIMENSION_LINEAGE), ("facts", FACT_LINEAGE))
    rows = [
        [where, f"`{column.name}`", f"`{column.type}`", "yes" if column.nullable else "no", column.description]
        for where, columns in places
        for column in columns
    ]
    return _rows(("where", "column", "type", "null", "meaning"), rows)


def _origin(column: Column) -> str:
    """Return where the value comes from; the name of a source column as code."""
    origin = column.origin or ""
    return f"`{origin}`" if re.fullmatch(r"\w+\.\w+", origin) else origin


def _refers(column: Column) -> str:
    return f"[`{column.references}`](#{column.references})" if column.references else ""


def _allowed(column: Column) -> str:
    """Return which values the contract allows, and what it makes of others."""
    told = [", ".join(f"`{value}`" for value in column.values)]
    if column.minimum or column.maximum:
        told.append(f"{column.minimum or 'any'} to {column.maximum or 'any'}")
    if column.format:
        told.append(f"a text that is a {column.format}")
    if column.unique:
        told.append("unique")
    if column.null_becomes is not None:
        told.append(f"null becomes {repr(column.null_becomes) if column.null_becomes else 'an empty text'}")
    return "; ".join(text for text in told if text)
