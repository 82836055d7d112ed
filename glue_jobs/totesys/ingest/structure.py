"""What a contract expects of a source table against what the source has. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from totesys.contracts import Column, Contract


@dataclass(frozen=True)
class LiveColumn:
    """A column as the source has it: its type as PostgreSQL writes it, and the labels when that is an enum."""

    type: str
    not_null: bool
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class LiveTable:
    """A table as the source has it. `hides_rows` says that row level security applies to our role."""

    oid: int
    hides_rows: bool
    columns: Mapping[str, LiveColumn]


def drift(contract: Contract, live: LiveTable | None) -> list[str]:
    """Every way in which the source breaks the contract, each with what was expected and found. Columns beyond the contract are none."""
    if live is None:
        return [f"{contract.table} is not a table"]
    problems = [f"{contract.table} hides rows by row level security from our role"] if live.hides_rows else []
    for column in contract.columns:
        problems += [f"{contract.table}.{column.name}: {problem}" for problem in _column_drift(column, live.columns.get(column.name))]
    return problems


def beyond_contract(contract: Contract, live: LiveTable) -> list[str]:
    """The source's columns that the contract does not name; they are not read."""
    return sorted(live.columns.keys() - {column.name for column in contract.columns})


def _column_drift(column: Column, live: LiveColumn | None) -> list[str]:
    if live is None:
        return [f"expected {column.source_type}, found no such column"]
    if live.type != column.source_type:
        return [f"expected {column.source_type}, found {live.type}"]
    problems = []
    if live.not_null < (not column.nullable):
        problems.append("expected NOT NULL, found that nulls are allowed")
    if unknown := sorted(set(live.labels) - set(column.values)):
        problems.append(f"expected the labels {', '.join(column.values)}, found also {', '.join(unknown)}")
    return problems
