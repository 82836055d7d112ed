"""The truth, in plain Python: what the lake and the warehouse must hold, given the committed states of the source that batches saw.

Nothing here comes from the product but the names of the contracts' columns: the rules are written down a second time, from the brief.
"""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from totesys.contracts import load_contracts

SOURCE_TABLES = (
    "address", "counterparty", "currency", "department", "design", "payment", "payment_type", "purchase_order", "sales_order", "staff",
    "transaction",
)  # fmt: skip
CURRENCY_NAMES = {"GBP": "British Pound", "USD": "US Dollar", "EUR": "Euro"}  # a code that no standard knows is its own name

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_ORDER_DAYS = ("agreed_delivery_date", "agreed_payment_date")
_DAYS_OF = {"sales_order": _ORDER_DAYS, "purchase_order": _ORDER_DAYS, "payment": ("payment_date",)}

Row = dict[str, Any]
State = dict[str, dict[int, Row]]  # source table -> key -> row


def committed_state(connection: Any) -> State:
    """What a plain SELECT sees in each source table now, in one snapshot."""
    state: State = {}
    with connection, connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        for table in SOURCE_TABLES:
            columns = load_contracts().source[table].columns
            names = [column.name for column in columns]
            values = [f"{column.name}::text" if column.type == "string" else column.name for column in columns]  # char(n) fills up
            cursor.execute(f'SELECT {", ".join(values)} FROM "{table}"')
            rows = [dict(zip(names, values)) for values in cursor]
            state[table] = {row[f"{table}_id"]: row for row in rows}
    return state


def breaks_contract(table: str, row: Row) -> bool:
    """Whether the row must stay out of the lake. psycopg2 reads infinity as the last moment that it knows."""
    has_no_place = row["created_at"] == datetime.datetime.max or row[f"{table}_id"] >= 2**31
    return has_no_place or not all(_is_day(row[name]) for name in _DAYS_OF.get(table, ()))


def _is_day(text: str) -> bool:
    try:
        return bool(_DAY.fullmatch(text)) and 1990 <= datetime.date.fromisoformat(text).year <= 2100
    except ValueError:
        return False


@dataclass(frozen=True)
class Kept:
    """A source row as the batches last saw it when it was good; one that is deleted keeps its last values. `deleted_in` is the first
    batch without it."""

    row: Row
    deleted_in: int | None = None

    @property
    def is_deleted(self) -> bool:
        return self.deleted_in is not None


@dataclass(frozen=True)
class RowVersion:
    """A fact row: a state of a key that differs, in what the fact keeps, from the one before it."""

    batch_seq: int
    key: int
    values: tuple[Any, ...]


def _stamps(row: Row) -> Row:
    parts: Row = {}
    for event in ("created", "last_updated"):
        at: datetime.datetime = row["created_at" if event == "created" else "last_updated"]
        parts |= {f"{event}_date": at.date(), f"{event}_time": at.time().isoformat(timespec="milliseconds")}
    return parts


def _dates(row: Row, *names: str) -> Row:
    return {name: datetime.date.fromisoformat(row[name]) for name in names}


def _sales(row: Row) -> Row:
    return {**row, **_stamps(row), **_dates(row, "agreed_delivery_date", "agreed_payment_date"), "sales_staff_id": row["staff_id"]}


def _purchases(row: Row) -> Row:
    return {**row, **_stamps(row), **_dates(row, "agreed_delivery_date", "agreed_payment_date")}


def _payments(row: Row) -> Row:
    return {**row, **_stamps(row), **_dates(row, "payment_date")}


FACTS: dict[str, tuple[str, Callable[[Row], Row]]] = {
    "fact_sales_order": ("sales_order", _sales),
    "fact_purchase_orders": ("purchase_order", _purchases),
    "fact_payment": ("payment", _payments),
}
DIMENSIONS = {
    "dim_staff": "staff", "dim_location": "address", "dim_currency": "currency", "dim_design": "design",
    "dim_counterparty": "counterparty", "dim_payment_type": "payment_type", "dim_transaction": "transaction",
}  # fmt: skip


JOINED = {"dim_staff": ("department", "department_id"), "dim_counterparty": ("address", "legal_address_id")}  # the parent, and its key


def lake_names(table: str) -> list[str]:
    """The columns of a warehouse table in the lake: all but the serial."""
    return [column.name for column in load_contracts().warehouse[table].columns if column.assigned_by is None]


def _dimension_row(table: str, row: Row, mirror: dict[str, dict[int, Kept]]) -> Row:
    if table == "dim_staff":
        department = mirror["department"][row["department_id"]].row
        return {**row, "department_name": department["department_name"], "location": department["location"] or ""}
    if table == "dim_counterparty":
        address = mirror["address"][row["legal_address_id"]].row
        legal = {f"counterparty_legal_{name}": value for name, value in address.items()}
        return {**row, **legal, "counterparty_legal_phone_number": address["phone"]}
    if table == "dim_location":
        return {**row, "location_id": row["address_id"]}
    if table == "dim_currency":
        return {**row, "currency_name": CURRENCY_NAMES.get(row["currency_code"], row["currency_code"])}
    return row


@dataclass
class Truth:
    """The batches that are committed, in order, and what follows from them."""

    mirrors: dict[int, dict[str, dict[int, Kept]]] = field(default_factory=dict)  # batch -> source table -> key -> row
    versions: dict[str, list[RowVersion]] = field(default_factory=lambda: {table: [] for table in FACTS})
    dead: dict[str, set[int]] = field(default_factory=lambda: {table: set() for table in SOURCE_TABLES})  # keys that are kept out now
    _keys: dict[str, set[int]] = field(default_factory=lambda: {table: set() for table in SOURCE_TABLES})  # that the source had, read last

    def saw(self, batch_seq: int, state: State, accepted: Collection[str] = SOURCE_TABLES) -> set[str]:
        """A batch is committed whose snapshot was this state. Returns the tables that it must have held back: those that would lose more
        than a fifth of their rows though nobody accepted that. A row that breaks its contract is there, but says nothing."""
        before = self.mirrors[max(self.mirrors)] if self.mirrors else {table: {} for table in SOURCE_TABLES}
        mirror, held = {}, set()
        for table in SOURCE_TABLES:
            rows, known = state[table], self._keys[table]
            if table not in accepted and 5 * len(known - rows.keys()) > len(known):
                held.add(table)
                mirror[table] = before[table]
                continue
            gone = {key: Kept(kept.row, kept.deleted_in or batch_seq) for key, kept in before[table].items() if key not in rows}
            good = {key: Kept(row) for key, row in rows.items() if not breaks_contract(table, row)}
            mirror[table] = before[table] | gone | good
            self._keys[table], self.dead[table] = set(rows), rows.keys() - good.keys()
        for fact, (table, make) in FACTS.items():
            for key, kept in sorted(mirror[table].items()):
                if not kept.is_deleted:
                    values = _values(fact, make(kept.row))
                    known = before[table].get(key)
                    if known is None or known.is_deleted or values != _values(fact, make(known.row)):
                        self.versions[fact].append(RowVersion(batch_seq, key, values))
        self.mirrors[batch_seq] = mirror
        return held

    def facts(self, table: str, through: int) -> list[RowVersion]:
        """The fact's rows after batch `through`, in the order of batches."""
        return [version for version in self.versions[table] if version.batch_seq <= through]

    def dimension(self, table: str, through: int) -> list[tuple[Any, ...]]:
        """The dimension's rows after batch `through`: of every key that was ever seen good, and whose parent was."""
        return list(self._whole(table, through).values())

    def once_whole(self, table: str, through: int) -> dict[int, set[tuple[Any, ...]]]:
        """By key, the rows that the dimension may still have for those that `dimension` lacks: each row of theirs that was ever whole."""
        lacking = self._mirror(DIMENSIONS[table], through).keys() - self._whole(table, through).keys()
        earlier = [self._whole(table, batch_seq) for batch_seq in self.mirrors if lacking and batch_seq < through]
        return {key: {whole[key] for whole in earlier if key in whole} for key in lacking}

    def alive(self, table: str, through: int) -> set[int]:
        """The keys of a source table that are not deleted after batch `through`."""
        return {key for key, kept in self._mirror(table, through).items() if not kept.is_deleted}

    def mirror(self, table: str, through: int) -> list[tuple[Any, ...]]:
        """A source table's rows after batch `through`."""
        return [tuple(kept.row.values()) for kept in self._mirror(table, through).values() if not kept.is_deleted]

    def deleted(self, table: str, through: int) -> list[tuple[Any, ...]]:
        """The last values of the rows that are gone from a source table after batch `through`."""
        return [tuple(kept.row.values()) for kept in self._mirror(table, through).values() if kept.is_deleted]

    def tombstones(self, through: int) -> list[tuple[str, int, int]]:
        """Source table, key, and the batch that found it gone, of every row that is gone after batch `through`."""
        return [
            (table, key, kept.deleted_in)
            for table in SOURCE_TABLES
            for key, kept in self._mirror(table, through).items()
            if kept.deleted_in is not None
        ]

    def _whole(self, table: str, through: int) -> dict[int, tuple[Any, ...]]:
        mirror = self.mirrors[through] if through else {table: {} for table in SOURCE_TABLES}
        parent, reference = JOINED.get(table, (None, None))
        rows = {key: kept.row for key, kept in mirror[DIMENSIONS[table]].items() if not parent or kept.row[reference] in mirror[parent]}
        return {key: _values(table, _dimension_row(table, row, mirror)) for key, row in rows.items()}

    def _mirror(self, table: str, through: int) -> dict[int, Kept]:
        return self.mirrors[through][table] if through else {}


def _values(table: str, row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in lake_names(table))


@dataclass(frozen=True)
class RowDifference:
    """How the rows of one table differ from the truth: rows that are lost, rows that are there once too often, rows that nobody knows."""

    place: str
    table: str
    lost: tuple[Any, ...] = ()
    duplicated: tuple[Any, ...] = ()
    unknown: tuple[Any, ...] = ()

    def __str__(self) -> str:
        kinds = {"lost": self.lost, "duplicated": self.duplicated, "unknown": self.unknown}
        told = [f"{len(rows)} {kind}, such as {rows[0]}" for kind, rows in kinds.items() if rows]
        return f"{self.place} {self.table}: {'; '.join(told)}"


def compare(place: str, table: str, expected: Iterable[tuple[Any, ...]], actual: Iterable[tuple[Any, ...]]) -> Iterator[RowDifference]:
    """One difference, or none: both sides as multisets."""
    wanted, found = Counter(expected), Counter(actual)
    lost, beyond = wanted - found, found - wanted
    if lost or beyond:
        duplicated, unknown = ([row for row in beyond.elements() if (row in wanted) is known] for known in (True, False))
        yield RowDifference(place, table, tuple(lost.elements()), tuple(duplicated), tuple(unknown))


def calendar_row(day: datetime.date) -> tuple[Any, ...]:
    """The row of dim_date for a day."""
    return (day, day.year, day.month, day.day, day.isoweekday(), f"{day:%A}", f"{day:%B}", (day.month + 2) // 3)
