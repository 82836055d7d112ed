"""Find drift: compare a registered contract with the source's table, and choose the outcome. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from totesys.contracts import Column, Contract
from totesys.contracts.types import INTEGER_BITS, widens
from totesys.lake.manifests import Observed

IGNORE, EVOLVE, HOLD, FAIL = "ignore", "evolve", "hold", "fail"

# The default outcomes; the contract's `drift` overrides them.
# ignore: the batch reads the same as before.
# evolve: some values may no longer fit the contract; the rows that fit flow on.
# hold: rows could be wrong unnoticed.
OUTCOMES = {
    "column_added": IGNORE,
    "column_added_required": IGNORE,
    "columns_reordered": IGNORE,
    "default_changed": IGNORE,
    "nullability_tightened": IGNORE,
    "enum_value_removed": IGNORE,
    "type_widened": EVOLVE,
    "type_narrowed": EVOLVE,
    "precision_changed": EVOLVE,
    "nullability_loosened": EVOLVE,
    "enum_value_added": EVOLVE,
    "column_dropped": HOLD,
    "column_renamed": HOLD,
    "type_changed": HOLD,
    "scale_changed": HOLD,
    "key_changed": HOLD,
    "table_missing": HOLD,
    "not_a_table": HOLD,
    "table_unreadable": HOLD,
    "column_unreadable": HOLD,
    "rows_hidden": HOLD,
}
NOT_GRANTED = frozenset({"table_unreadable", "column_unreadable"})  # a right is missing; the contract is correct
_SIZED = re.compile(r"(numeric|character varying|character|timestamp)(?:\((\d+)(?:,(\d+))?\))?( without time zone)?")
_UNLIMITED = 10**6
_MICROSECONDS = 6  # PostgreSQL's default precision of a timestamp


@dataclass(frozen=True)
class LiveColumn:
    """A column at the source: its number, type and default as PostgreSQL has them, and its labels if it is an enum.

    label_texts  the labels of its enum by their oids; also filled for an array of an enum
    expression   how a virtual generated column is computed; None for any other column
    """

    number: int
    type: str
    not_null: bool
    labels: tuple[str, ...] = ()
    default: str | None = None
    is_readable: bool = True
    type_oid: int = 0
    label_texts: Mapping[str, str] = field(default_factory=dict)
    expression: str | None = None


@dataclass(frozen=True)
class LiveTable:
    """A table at the source: its columns in order, and its primary key.

    kind              PostgreSQL's relkind: r and p are tables, v and m are views
    hides_rows        whether row level security applies to our role
    is_readable       whether our role may SELECT the whole table; otherwise the role can neither lock the table nor read xmin
    parts             the oids of its partitions at any depth, and of the tables that inherit from it
    has_foreign_part  whether one of these parts is a foreign table, whose changes cannot be seen
    """

    oid: int
    kind: str
    hides_rows: bool
    columns: Mapping[str, LiveColumn]
    key: tuple[str, ...]
    is_readable: bool = True
    parts: tuple[int, ...] = ()
    has_foreign_part: bool = False

    @property
    def is_table(self) -> bool:
        return self.kind in ("r", "p")

    @property
    def shows_rows(self) -> bool:
        """Return whether our role can read whole rows, and the transactions that wrote them."""
        return self.is_table and not self.has_foreign_part and not self.hides_rows and self.is_readable

    @property
    def observed(self) -> Observed:
        """Return the parts of the structure that a later batch compares with. No contract holds them."""
        columns = self.columns.items()
        return Observed(
            columns={name: column.number for name, column in columns},
            defaults={name: column.default for name, column in columns if column.default},
            types={name: column.type_oid for name, column in columns},
            labels={name: dict(column.label_texts) for name, column in columns if column.label_texts},
            expressions={name: column.expression for name, column in columns if column.expression},
            parts=self.parts,
        )


@dataclass(frozen=True)
class Finding:
    """One difference between the source and the contract. `outcome` is ignore, evolve, hold or fail."""

    kind: str
    table: str
    column: str | None
    expected: str
    found: str
    outcome: str

    @property
    def text(self) -> str:
        """Return the place, what was expected and what was found."""
        place = f"{self.table}.{self.column}" if self.column else self.table
        return f"{place}: expected {self.expected}, found {self.found} ({self.kind})"


def findings(contract: Contract, live: LiveTable | None, before: Observed | None = None) -> list[Finding]:
    """Return all drift of a table. If the table cannot be read at all, return only that finding.

    `before` is what the previous batch observed.
    """

    def finding(kind: str, column: str | None, expected: str, found: str) -> Finding:
        return Finding(kind, contract.table, column, expected, found, contract.drift.get(kind, OUTCOMES[kind]))

    if live is None:
        return [finding("table_missing", None, "a table", "none")]
    if not live.is_table:
        return [finding("not_a_table", None, "a table", {"v": "a view", "m": "a materialized view"}.get(live.kind, "something else"))]
    if live.has_foreign_part:
        return [finding("not_a_table", None, "a table", "a table with rows of a foreign table, whose changes nobody can see")]
    if live.hides_rows:
        return [finding("rows_hidden", None, "all rows", "that row level security hides rows from our role")]
    if not any(column.is_readable for column in live.columns.values()):
        return [finding("table_unreadable", None, "SELECT for our role", "no such right")]
    return [
        finding(*parts) for parts in (*_rights(contract, live), *_columns(contract, live), *_key(contract, live), *_moved(live, before))
    ]


_Parts = tuple[str, "str | None", str, str]


def _rights(contract: Contract, live: LiveTable) -> Iterator[_Parts]:
    """Find a table on which our role has SELECT for single columns only. Locking it and reading xmin need SELECT on the whole table."""
    columns = [live.columns[column.name] for column in contract.columns if column.name in live.columns]
    if not live.is_readable and all(column.is_readable for column in columns):
        yield "table_unreadable", None, "SELECT for our role on the whole table", "SELECT on single columns alone"


def _columns(contract: Contract, live: LiveTable) -> Iterator[_Parts]:
    unknown = {name: column for name, column in live.columns.items() if name not in {column.name for column in contract.columns}}
    for column in contract.columns:
        if column.name in live.columns:
            yield from _column(column, live.columns[column.name])
            continue
        same_type = [name for name, other in unknown.items() if other.type == column.source_type]
        if len(same_type) == 1:
            del unknown[same_type[0]]
            yield "column_renamed", column.name, f"{column.source_type}", f"no such column, but {same_type[0]} of that type"
        else:
            yield "column_dropped", column.name, f"{column.source_type}", "no such column"
    for name, added in unknown.items():
        kind = "column_added_required" if added.not_null else "column_added"
        yield kind, name, "no such column", f"{added.type}{' NOT NULL' if added.not_null else ''}, which is not read"


def _column(column: Column, live: LiveColumn) -> Iterator[_Parts]:
    if not live.is_readable:
        yield "column_unreadable", column.name, "SELECT for our role", "no such right"
        return
    if live.type != column.source_type:
        yield type_change(column.source_type or "", live.type), column.name, f"{column.source_type}", live.type
        return
    if live.not_null and column.nullable:
        yield "nullability_tightened", column.name, "that nulls are allowed", "NOT NULL"
    if not live.not_null and not column.nullable:
        yield "nullability_loosened", column.name, "NOT NULL", "that nulls are allowed"
    labels = ", ".join(column.values)
    if more := [label for label in live.labels if label not in column.values]:
        yield "enum_value_added", column.name, f"the labels {labels}", f"also {', '.join(more)}"
    if live.labels and (fewer := [label for label in column.values if label not in live.labels]):
        yield "enum_value_removed", column.name, f"the labels {labels}", f"no {', '.join(fewer)}"


def _key(contract: Contract, live: LiveTable) -> Iterator[_Parts]:
    if live.key != (contract.key,) and contract.key in live.columns:
        yield "key_changed", None, f"the primary key {contract.key}", ", ".join(live.key) or "no primary key"


def silent_change(contract: Contract, live: LiveTable, before: Observed | None) -> str | None:
    """Return what has changed values without writing new row versions; None when nothing has. A delta would miss that change.

    Anything that the previous batch did not record counts as unchanged.
    """
    if before is None:
        return None
    if before.parts is not None and before.parts != live.parts:
        return "its partitions, or the tables that inherit from it, have changed"
    for name in (column.name for column in contract.columns if column.name in before.columns and column.name in live.columns):
        now = live.columns[name]
        if before.columns[name] != now.number:
            return "a column was recreated"
        if before.types is not None and before.types[name] != now.type_oid:
            return "a column's type has changed"
        if before.labels is not None and any(now.label_texts.get(oid) != text for oid, text in before.labels.get(name, {}).items()):
            return "a label of an enum was renamed"
        if before.expressions is not None and before.expressions.get(name) != now.expression:
            return "the expression of a generated column has changed"
    return None


def _moved(live: LiveTable, before: Observed | None) -> Iterator[_Parts]:
    if before is None:
        return
    kept = [name for name in before.columns if name in live.columns]
    now = [name for name in live.columns if name in before.columns]
    if kept != now:
        yield "columns_reordered", None, f"the columns in the order {', '.join(kept)}", ", ".join(now)
    for name in kept:
        then, default = before.defaults.get(name), live.columns[name].default
        if then != default:
            yield "default_changed", name, f"the default {then or 'null'}", default or "none"


def type_change(expected: str, found: str) -> str:
    """Return the kind of drift between two types, both as PostgreSQL writes them."""
    if expected in INTEGER_BITS and found in INTEGER_BITS:
        return "type_widened" if widens(expected, found) else "type_narrowed"
    then, now = _sized(expected), _sized(found)
    if then is None or now is None or then[0] != now[0]:
        return "type_changed"
    if then[0] != "numeric":
        return "type_widened" if now[1] > then[1] else "type_narrowed"
    return "precision_changed" if then[2] == now[2] else "scale_changed"


def _sized(written: str) -> tuple[str, int, int] | None:
    """Return family, size and scale of a type whose size may change; None for any other type."""
    if written == "text":
        return "text", _UNLIMITED, 0
    parts = _SIZED.fullmatch(written)
    if parts is None or (parts[1] == "timestamp") != bool(parts[4]):
        return None
    size = int(parts[2]) if parts[2] else (_MICROSECONDS if parts[1] == "timestamp" else _UNLIMITED)
    if parts[1] == "numeric":
        return "numeric", size, int(parts[3] or 0) if parts[2] else _UNLIMITED
    return ("timestamp" if parts[4] else "text"), size, 0
