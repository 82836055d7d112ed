"""The contracts of catalog/*.json as frozen values. Every type, schema and check is derived from them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

from totesys.contracts.checks import check_contract
from totesys.errors import FatalError


@dataclass(frozen=True)
class Column:
    """One column. `type` is Glue's name of its type in the lake. `source_type` and `warehouse_type` are PostgreSQL's names."""

    name: str
    type: str
    nullable: bool
    description: str
    source_type: str | None = None
    warehouse_type: str | None = None
    origin: str | None = None
    references: str | None = None
    on_delete: str = "RESTRICT"
    unique: bool = False
    default: str | None = None
    values: tuple[str, ...] = ()
    format: str | None = None
    minimum: str | None = None
    maximum: str | None = None
    null_becomes: str | None = None
    assigned_by: str | None = None


@dataclass(frozen=True)
class Partition:
    """The partition key of a table in the lake."""

    name: str
    type: str
    description: str


KEY_RANGE = Partition("key_range", "int", "Key divided by the range size of the contract, rounded down.")
RAW_PARTITIONS = (
    Partition("ingest_date", "string", "Day of the batch's snapshot, YYYY-MM-DD in UTC."),
    Partition("batch_id", "string", "The batch that read the rows."),
)

# Lineage columns follow the contract's own columns in every lake file. The pipeline adds them; the source does not have them.
RAW_LINEAGE = (
    Column("batch_seq", "bigint", False, "Number of the batch that read the row."),
    Column("source_xid", "bigint", False, "Transaction at the source that wrote the row version (its xmin, 32 bits)."),
)
MIRROR_LINEAGE = (
    Column("is_deleted", "boolean", False, "Whether the row is gone from the source; its last values stay."),
    Column("batch_seq", "bigint", False, "Number of the batch that brought this state."),
)
DIMENSION_LINEAGE = (Column("batch_seq", "bigint", False, "Number of the batch that brought this state."),)
FACT_LINEAGE = (
    *DIMENSION_LINEAGE,
    Column("is_reinserted", "boolean", False, "Whether it repeats the version before: the row was deleted, and then inserted again."),
)

UNREADABLE = "unreadable"  # a column that only ingest uses, while it reads: JSON of the values that do not fit, by column; mostly null
WAITS_FOR, WENT_IN_AFTER = "waits_for", "went_in_after"  # the extra columns of a fact's table of waiting rows

# Names that no column of any contract may have: a batch, a publish or a load adds columns with these names. Frames and queries may use
# names that begin with an underscore, since no contract's column begins with one.
TAKEN_NAMES = frozenset({
    *(column.name for column in (*RAW_LINEAGE, *MIRROR_LINEAGE, *DIMENSION_LINEAGE, *FACT_LINEAGE)),
    *(partition.name for partition in (KEY_RANGE, *RAW_PARTITIONS)),
    UNREADABLE, WAITS_FOR, WENT_IN_AFTER,
})  # fmt: skip


@dataclass(frozen=True)
class Contract:
    """One table's contract.

    key         the table's primary key
    version_of  of a fact: the key of the source table whose versions its rows are
    drift       of a source table: by kind of drift, the outcome if it is not the default
    body        the contract's JSON, compact and sorted, as the Data Catalog registers it
    """

    table: str
    kind: str
    version: int
    description: str
    grain: str
    key: str
    columns: tuple[Column, ...]
    range_size: int = 1
    inputs: tuple[str, ...] = ()
    partition: Partition = KEY_RANGE
    version_of: str | None = None
    drift: Mapping[str, str] = field(default_factory=dict, hash=False)
    body: str = field(default="", compare=False, repr=False)

    @property
    def lake_columns(self) -> tuple[Column, ...]:
        """Return the columns that lake files hold: all except those that the warehouse assigns."""
        return tuple(column for column in self.columns if column.assigned_by is None)

    @property
    def file_columns(self) -> tuple[Column, ...]:
        """Return the columns of a warehouse table's files in the lake: its own and its lineage."""
        return (*self.lake_columns, *(FACT_LINEAGE if self.version_of else DIMENSION_LINEAGE))

    @property
    def current_view(self) -> str:
        """Return the name of the view of a fact's current state in Athena and the warehouse: current_payment for fact_payment."""
        return f"current_{self.table.removeprefix('fact_')}"

    @property
    def lake_key(self) -> str:
        """Return the column that identifies a row in the lake. For a fact, the column and the batch identify it together."""
        return self.version_of or self.key

    def column(self, name: str) -> Column:
        """Return the column with this name. KeyError when the contract has none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"{self.table} has no column {name}")


@dataclass(frozen=True)
class Contracts:
    """All contracts by table name. Source tables are ordered parents before children, warehouse tables dimensions before facts."""

    source: dict[str, Contract]
    warehouse: dict[str, Contract]

    @property
    def facts(self) -> dict[str, Contract]:
        return {table: contract for table, contract in self.warehouse.items() if contract.kind == "fact"}

    @property
    def dimensions(self) -> dict[str, Contract]:
        return {table: contract for table, contract in self.warehouse.items() if contract.kind == "dimension"}


def parse_contract(body: dict[str, Any]) -> Contract:
    """Return the contract that its file's JSON describes. FatalError that names table and column when the jobs cannot use it."""
    check_contract(body, TAKEN_NAMES, _keys(Contract), _keys(Column))
    parsed = {**body, "body": json.dumps(body, sort_keys=True, separators=(",", ":"))}
    parsed["columns"] = tuple(Column(**{**column, "values": tuple(column.get("values", ()))}) for column in body["columns"])
    parsed["inputs"] = tuple(body.get("inputs", ()))
    if "partition" in body:
        parsed["partition"] = Partition(**body["partition"])
    return Contract(**parsed)


@cache
def _keys(of: type) -> dict[str, bool]:
    """Return the keys of a contract's JSON that become fields of this class, and whether each is required."""
    return {one.name: one.default is MISSING and one.default_factory is MISSING for one in fields(of) if one.name != "body"}


@lru_cache(maxsize=1)
def load_contracts() -> Contracts:
    """Return every contract, read from the files inside the package."""

    def read(kind: str) -> dict[str, Contract]:
        folder = files("totesys") / "catalog" / kind
        parsed = [parse_contract(json.loads(path.read_text("utf-8"))) for path in folder.iterdir()]
        return parents_first({contract.table: contract for contract in parsed})

    return Contracts(read("source"), read("warehouse"))


def parents_first(contracts: dict[str, Contract]) -> dict[str, Contract]:
    """Return the contracts in alphabetical order, except that a table comes after every table that it references."""
    ordered: dict[str, Contract] = {}

    def add(contract: Contract) -> None:
        for column in contract.columns:
            if column.references and column.references not in contracts:
                raise FatalError(
                    f"the contract of {contract.table} cannot be used: {column.name} refers to {column.references}, a table without"
                    " a contract"
                )
            if column.references and column.references != contract.table and column.references not in ordered:
                add(contracts[column.references])
        ordered.setdefault(contract.table, contract)

    for table in sorted(contracts):
        add(contracts[table])
    return ordered
