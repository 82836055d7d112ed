"""Check whether a contract may replace the registered one. Files of the old contract stay, and must still be readable."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from totesys.contracts import Column, Contract, Contracts, Partition
from totesys.contracts.registry import CONTRACT, registered_contract
from totesys.contracts.types import is_number, widens
from totesys.errors import FatalError

from operations.registry.contract_schema import check_schemas

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient
    from mypy_boto3_glue.type_defs import TablePaginatorTypeDef

ACCEPT_BREAKING = "TOTESYS_ACCEPT_BREAKING"  # names the tables whose breaking change is meant


@dataclass(frozen=True)
class Breach:
    """Why a contract may not be registered. A person may accept a breach that `is_breaking`. Nobody can accept a wrong version."""

    text: str
    is_breaking: bool


def check_contracts(glue: GlueClient, contracts: Contracts, databases: Mapping[str, str] | None, environment: Mapping[str, str]) -> int:
    """Compare the contracts with the registered ones in `databases` (ingestion, star -> name). Return how many differ.

    FatalError, which names every breach. A table that was registered without a contract is treated as new. Before the first deploy
    `databases` is None, and all tables are new.
    """
    check_schemas([*contracts.source.values(), *contracts.warehouse.values()])
    accepted = [table for table in environment.get(ACCEPT_BREAKING, "").split(",") if table]
    known = {**contracts.source, **contracts.warehouse}
    if unknown := sorted(set(accepted) - known.keys()):
        raise FatalError(f"{ACCEPT_BREAKING} names {', '.join(unknown)}, which no contract describes: it takes {', '.join(known)}")
    registered: dict[str, Contract] = {}
    found: list[Breach] = []
    places = ((databases["ingestion"], contracts.source), (databases["star"], contracts.warehouse)) if databases else ()
    for database, tables in places:
        for table in registered_tables(glue, database, tables):
            try:
                registered[table["Name"]] = registered_contract(table)
            except FatalError:
                if table["Name"] not in accepted:
                    found.append(Breach(f"{table['Name']}: the registered contract cannot be read, so nothing tells what changes", True))
    refuse([*found, *misfits(contracts), *refused(registered, known, accepted)])
    return sum(contract != known[table] for table, contract in registered.items())


def registered_tables(glue: GlueClient, database: str, tables: Collection[str]) -> list[TablePaginatorTypeDef]:
    """Return the tables that are registered with a contract, as Glue describes them."""
    pages = glue.get_paginator("get_tables").paginate(DatabaseName=database)
    found = [table for page in pages for table in page["TableList"]]
    return [table for table in found if table["Name"] in tables and CONTRACT in table.get("Parameters", {})]


def refused(registered: Mapping[str, Contract], wanted: Mapping[str, Contract], accepted: Collection[str]) -> list[Breach]:
    """Return the breaches of all tables, without the breaking changes of tables whose change is accepted."""
    return [
        breach
        for table, contract in registered.items()
        for breach in breaches(contract, wanted[table])
        if not (breach.is_breaking and table in accepted)
    ]


def refuse(found: Sequence[Breach]) -> None:
    """Raise FatalError when there is a breach."""
    if not found:
        return
    ways = ""
    if any(breach.is_breaking for breach in found):
        ways = (
            "; keep the old column and add a new nullable one, or, where the change is meant, set"
            f" {ACCEPT_BREAKING}=<table>[,<table>] for this deploy, and then run scripts/totesys backfill --table <table>. To go back,"
            " deploy the earlier contract with a higher version in the same way"
        )
    raise FatalError(f"no table was changed: {'; '.join(breach.text for breach in found)}{ways}")


def breaches(registered: Contract, wanted: Contract) -> Iterator[Breach]:
    """Yield why `wanted` may not replace `registered`."""
    if wanted == registered:
        return
    table = wanted.table
    if wanted.version < registered.version:
        yield Breach(f"{table}: version {registered.version} is registered, and {wanted.version} is older: raise it", False)
    elif wanted.version == registered.version:
        yield Breach(f"{table}: the contract changed and its version is still {registered.version}: raise it", False)
    for name in ("key", "version_of", "range_size", "partition"):
        was, is_now = (_shown(getattr(contract, name)) for contract in (registered, wanted))
        if was != is_now:
            yield Breach(f"{table}: {name} was registered as {was}, wanted is {is_now}", True)
    columns = {column.name: column for column in wanted.columns}
    for column in registered.columns:
        if column.name not in columns:
            yield Breach(f"{table}.{column.name}: {_type(column)} is registered, and the wanted contract has no such column", True)
        elif not _is_widened(column, columns[column.name]):
            yield Breach(
                f"{table}.{column.name}: registered as {_type(column)}, wanted is {_type(columns[column.name])}; files that were written"
                " before keep the old type: Athena cannot read them, and the transform stops at values that do not fit the new type",
                True,
            )
    before = {column.name for column in registered.columns}
    for column in wanted.columns:
        if column.name not in before and not column.nullable:
            yield Breach(f"{table}.{column.name}: a new column that is not nullable, while existing rows have no value for it", True)


def misfits(contracts: Contracts) -> Iterator[Breach]:
    """Yield the columns of warehouse tables that are narrower than their source column: the first number that does not fit would stop the
    transform or the load."""
    for contract in contracts.warehouse.values():
        for column in contract.columns:
            table, _, name = (column.origin or "").partition(".")
            origin = next((one for one in contracts.source[table].columns if one.name == name), None) if table in contracts.source else None
            if origin and is_number(origin.type) and is_number(column.type) and not widens(origin.type, column.type):
                yield Breach(f"{contract.table}.{column.name} is {column.type}, but {column.origin} is {origin.type}: widen it", False)
            in_warehouse = str(column.warehouse_type)
            if is_number(column.type) and is_number(in_warehouse) and not widens(column.type, in_warehouse):
                yield Breach(
                    f"{contract.table}.{column.name} is {column.type} in the lake, but {in_warehouse} in the warehouse: widen it", False
                )


def _is_widened(before: Column, after: Column) -> bool:
    """Whether the type is the same or wider, so that readers of earlier files get the same values."""
    if (before.assigned_by, before.warehouse_type is None) != (after.assigned_by, after.warehouse_type is None):
        return False
    in_lake = before.assigned_by is not None or widens(before.type, after.type)
    return in_lake and widens(str(before.warehouse_type), str(after.warehouse_type))


def _type(column: Column) -> str:
    """Return a column's types: in the lake and, if the table is in the warehouse, in the warehouse."""
    kept = [column.type] if column.assigned_by is None else [f"assigned by the {column.assigned_by}"]
    return " and ".join([*kept, f"{column.warehouse_type} in the warehouse"] if column.warehouse_type else kept)


def _shown(value: Any) -> str:
    return f"{value.name} {value.type}" if isinstance(value, Partition) else str(value)
