"""What a history does to single rows of its own: inserts, edits, deletes, new keys, and values that break the contract."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from psycopg2 import sql

from tests.exactness.sessions import Open

KEYS = 1_000  # keys that a history has in each table, for itself alone
START = datetime(2026, 3, 2, 9, 30, 15, 123_000)
NO_DAYS = ("soon", "", "2026-02-30", "20260307", "1989-12-31", "2101-01-01")  # no dates, and dates that the contract does not allow
INFINITY = "infinity"  # a timestamp that has no place in the lake

DAYS = ("2025-12-31", "2026-03-07", "2026-03-08", "2027-11-30")
ENDS = ("1990-01-01", "2100-12-31")  # of what the contracts allow
_TYPES = ("SALES_RECEIPT", "SALES_REFUND", "PURCHASE_PAYMENT", "PURCHASE_REFUND")


# Every text of a history may hold the ends of lines, in each of their forms.
_LINES = ("a\r", "\nb", "\r\n")


@dataclass(frozen=True)
class Ref:
    """A column that holds the key of another table's row."""

    table: str


# What each column of a table may hold. The values are few, so that a row often comes back to a state that it had before.
VALUES: dict[str, dict[str, tuple[Any, ...] | Ref]] = {
    "address": {
        "address_line_1": ("1 Main St", "Christy O'Hara", *_LINES), "address_line_2": (None, "Flat 2", *_LINES),
        "district": (None, "Avon", "", *_LINES), "city": ("York", "Hull", *_LINES), "postal_code": ("08841", "8841", *_LINES),
        "country": ("Chad", "Democratic People's Republic of Korea", *_LINES),
        "phone": ("1803 637401", "+44 20", *_LINES),
    },
    "counterparty": {
        "counterparty_legal_name": ("Frami, Yundt and Macejkovic", 'A "quoted" name', *_LINES), "legal_address_id": Ref("address"),
        "commercial_contact": (None, "Jean", *_LINES), "delivery_contact": (None, "Ann", *_LINES),
    },
    "currency": {"currency_code": ("GBP", "USD", "EUR", "XZZ", *_LINES)},
    "department": {
        "department_name": ("Sales", "Ops", *_LINES), "location": (None, "Leds", "", *_LINES), "manager": (None, "Tom", *_LINES),
    },
    "design": {
        "design_name": ("Wooden", "Steel", *_LINES), "file_location": ("/usr", "/tmp\\x", *_LINES),
        "file_name": ("a.json", "b.json", *_LINES),
    },
    "staff": {
        "first_name": ("Ann", "Zoë", *_LINES), "last_name": ("O'Keefe", "line\nbreak", *_LINES), "department_id": Ref("department"),
        "email_address": ("a@b.com", "A@b.com", *_LINES),
    },
    "payment_type": {"payment_type_name": _TYPES},
    "sales_order": {
        "design_id": Ref("design"), "staff_id": Ref("staff"), "counterparty_id": Ref("counterparty"), "units_sold": (1, 2, 3),
        "unit_price": ("3.90", "3.91"), "currency_id": Ref("currency"), "agreed_delivery_date": DAYS, "agreed_payment_date": DAYS,
        "agreed_delivery_location_id": Ref("address"),
    },
    "purchase_order": {
        "staff_id": Ref("staff"), "counterparty_id": Ref("counterparty"), "item_code": ("ABC", "abc ", *_LINES), "item_quantity": (1, 2),
        "item_unit_price": ("99999999.99", "0.01"), "currency_id": Ref("currency"), "agreed_delivery_date": DAYS,
        "agreed_payment_date": DAYS, "agreed_delivery_location_id": Ref("address"),
    },
    "transaction": {
        "transaction_type": ("SALE", "PURCHASE"), "sales_order_id": Ref("sales_order"), "purchase_order_id": Ref("purchase_order"),
    },
    "payment": {
        "transaction_id": Ref("transaction"), "counterparty_id": Ref("counterparty"), "payment_amount": ("10.00", "7.80"),
        "currency_id": Ref("currency"), "payment_type_id": Ref("payment_type"), "paid": (False, True), "payment_date": DAYS,
        "company_ac_number": (1, 2), "counterparty_ac_number": (1, 2),
    },
}  # fmt: skip
PARENTS = ("address", "counterparty", "currency", "department", "design", "staff", "payment_type")
_FIRST = ("address", "department", "currency", "payment_type", "design", "staff", "counterparty")  # parents before children
_BETWEEN = {"sales_order_id", "purchase_order_id", "transaction_id"}  # unique references, which an ordinary edit leaves alone
DAYS_OF = {table: [name for name, values in columns.items() if values is DAYS] for table, columns in VALUES.items()}


class Steps:
    """Changes to the rows of one history, each in a transaction that is given; the log has every statement."""

    def __init__(self, random: Random, number: int, log: list[str]) -> None:
        self.random = random
        self.log = log
        self._first = (number % 2) * 100_000 + number * KEYS + 1  # two key ranges of the lake
        self._used = dict.fromkeys(VALUES, 0)
        self._taken: list[tuple[str, dict[str, Any]]] = []  # rows that were deleted, to be inserted again as they were
        self._spoiled: list[tuple[str, int, str]] = []  # table, key and column of values that were made bad, to be put right
        self._clock = START

    def owns(self, key: int) -> bool:
        return self._first <= key < self._first + KEYS

    def first_rows(self, transaction: Open) -> None:
        """The rows that orders need, and one order of each kind."""
        for table in _FIRST:
            for _ in range(1 if table in ("currency", "payment_type", "department") else 2):
                self._insert(transaction, table)
        for kind in ("sales_order", "purchase_order"):
            self._insert_order(transaction, kind)

    def change(self, transaction: Open) -> None:
        """Any change."""
        changes: list[tuple[Callable[[Open], None], int]] = [
            (lambda t: self._insert_order(t, self.random.choice(("sales_order", "purchase_order"))), 5),
            (self._edit_order, 8),
            (self._edit_parent, 5),
            (self._touch, 2),
            (self._delete, 4),
            (self._put_back, 3),
            (self._replace, 1),
            (self._move_key, 2),
            (self._swap_keys, 1),
            (self._spoil, 2),
            (self._put_right, 3),
            (lambda t: self._insert(t, self.random.choice(PARENTS)), 1),
        ]
        self.random.choices([change for change, _ in changes], [weight for _, weight in changes])[0](transaction)

    def _insert_order(self, transaction: Open, table: str) -> None:
        """An order with its transaction and payment, all with one stamp."""
        order = self._insert(transaction, table)
        kind = "SALE" if table == "sales_order" else "PURCHASE"
        ids = {"transaction_type": kind, "sales_order_id": None, "purchase_order_id": None, f"{table}_id": order}
        deal = self._insert(transaction, "transaction", **ids) if order else None
        if deal and self.random.random() < 0.9:
            self._insert(transaction, "payment", transaction_id=deal)

    def _insert(self, transaction: Open, table: str, **given: Any) -> int | None:
        """A new row; None when a row that it must refer to is not there."""
        row = {name: given[name] if name in given else self._value(transaction, values) for name, values in VALUES[table].items()}
        if any(row[name] is None and isinstance(values, Ref) and name not in given for name, values in VALUES[table].items()):
            return None
        key = self._new_key(transaction, table)
        stamp = self._stamp()
        is_bad = self.random.random() < 0.03
        created_at = INFINITY if is_bad else stamp
        self._insert_row(transaction, table, {f"{table}_id": key, **row, "created_at": created_at, "last_updated": stamp})
        if is_bad:
            self._spoiled.append((table, key, "created_at"))
        return key

    def _insert_row(self, transaction: Open, table: str, row: dict[str, Any]) -> None:
        names, places = ", ".join(row), ", ".join(["%s"] * len(row))
        self.execute(transaction, f'INSERT INTO "{table}" ({names}) VALUES ({places})', *row.values())

    def _edit_order(self, transaction: Open) -> None:
        self._edit(transaction, self.random.choice(("sales_order", "purchase_order", "payment", "payment")))

    def _edit_parent(self, transaction: Open) -> None:
        self._edit(transaction, self.random.choice((*PARENTS, "transaction")))

    def _edit(self, transaction: Open, table: str) -> None:
        """Some columns of a row; with a stamp, silently, or the stamp alone."""
        editable = [name for name in VALUES[table] if name not in _BETWEEN]
        names = self.random.sample(editable, self.random.choice((0, 1, 1, 2)) if len(editable) > 1 else 1)
        row = {name: self._value(transaction, VALUES[table][name]) for name in names}
        stamp = self._maybe_stamped() if names else {"last_updated": self._stamp()}
        self._update(transaction, table, self._any_key(transaction, table), {**row, **stamp})

    def _touch(self, transaction: Open) -> None:
        """A new row version without a new value."""
        table = self.random.choice(list(VALUES))
        statement = f'UPDATE "{table}" SET last_updated = last_updated WHERE {_free(table, "NO KEY UPDATE")}'
        self.execute(transaction, statement, self._any_key(transaction, table))

    def _update(self, transaction: Open, table: str, key: int | None, row: dict[str, Any], lock: str = "NO KEY UPDATE") -> None:
        settings = ", ".join(f"{name} = %s" for name in row)
        self.execute(transaction, f'UPDATE "{table}" SET {settings} WHERE {_free(table, lock)}', *row.values(), key)

    def _delete(self, transaction: Open) -> None:
        """A payment, then perhaps its transaction, then perhaps the order; or a row that may be in use."""
        if self.random.random() < 0.3:
            self._delete_row(transaction, self.random.choice((*PARENTS, "sales_order", "purchase_order")))
            return
        payment = self._delete_row(transaction, "payment")
        deal = self._delete_row(transaction, "transaction", payment["transaction_id"]) if payment and self.random.random() < 0.7 else None
        for table in ("sales_order", "purchase_order"):
            if deal and deal[f"{table}_id"] and self.random.random() < 0.7:
                self._delete_row(transaction, table, deal[f"{table}_id"])

    def _delete_row(self, transaction: Open, table: str, key: int | None = None) -> dict[str, Any] | None:
        key = key or self._any_key(transaction, table)
        deleted = self.execute(transaction, f'DELETE FROM "{table}" WHERE {_free(table, "UPDATE")} RETURNING *', key)
        if not deleted:
            return None
        names = [column.name for column in transaction.cursor.description]
        row = {name: INFINITY if value == datetime.max else value for name, value in zip(names, deleted[0])}
        self._taken = [*self._taken[-20:], (table, row)]
        return row

    def _put_back(self, transaction: Open) -> None:
        """A row that was deleted once, as it was, under its key."""
        if self._taken:
            self._insert_row(transaction, *self._taken.pop(self.random.randrange(len(self._taken))))

    def _replace(self, transaction: Open) -> None:
        """Deleted and inserted again at once: the same row, a new row version."""
        if row := self._delete_row(transaction, "payment"):
            self._insert_row(transaction, "payment", row)

    def _move_key(self, transaction: Open) -> None:
        """Another key for a row; what refers to it follows."""
        table = self.random.choice(list(VALUES))
        key = self._any_key(transaction, table)
        self._update(transaction, table, key, {f"{table}_id": self._new_key(transaction, table)}, lock="UPDATE")

    def _swap_keys(self, transaction: Open) -> None:
        """Two rows change places."""
        table = self.random.choice(list(VALUES))
        keys = self._keys(transaction, table)
        if len(keys) > 1:
            one, other = self.random.sample(keys, 2)
            between = self._new_key(transaction, table)
            for key, new in ((one, between), (other, one), (between, other)):
                self.execute(transaction, f'UPDATE "{table}" SET {table}_id = %s WHERE {table}_id = %s', new, key)

    def exception_block(self, transaction: Open) -> None:
        """A plpgsql block whose work is a subtransaction's: kept, or undone by an error that it catches."""
        table = self.random.choice(("sales_order", "payment", "address", "design"))
        key, stamp = self._any_key(transaction, table), self._stamp()
        body = sql.SQL("UPDATE {} SET last_updated = {} WHERE ").format(sql.Identifier(table), sql.Literal(stamp))
        where = sql.SQL(_free(table, "NO KEY UPDATE").replace("%s", "{}")).format(sql.Literal(key))
        fails = sql.SQL("PERFORM 1 / 0;" if self.random.random() < 0.5 else "")
        block = sql.SQL("DO $block$ BEGIN {}{}; {} EXCEPTION WHEN division_by_zero THEN NULL; END $block$").format(body, where, fails)
        self.execute(transaction, block.as_string(transaction.connection))

    def _spoil(self, transaction: Open) -> None:
        """A value that breaks the contract, stamped or silent."""
        table = self.random.choice(list(VALUES))
        key = self._any_key(transaction, table)
        column = self.random.choice([*DAYS_OF[table], "created_at"])
        bad = {column: INFINITY if column == "created_at" else self.random.choice(NO_DAYS)}
        self._update(transaction, table, key, {**bad, **self._maybe_stamped()})
        if key:
            self._spoiled.append((table, key, column))

    def _put_right(self, transaction: Open) -> None:
        """A good value where one was spoiled."""
        if self._spoiled:
            table, key, column = self._spoiled.pop(self.random.randrange(len(self._spoiled)))
            good = {column: self._stamp() if column == "created_at" else self.random.choice(DAYS)}
            self._update(transaction, table, key, {**good, **self._maybe_stamped()})

    # Keys and values

    def _keys(self, transaction: Open, table: str) -> list[int]:
        """The history's rows of a table, as the transaction sees them."""
        found = transaction.execute(
            f'SELECT {table}_id FROM "{table}" WHERE {table}_id BETWEEN %s AND %s ORDER BY 1', self._first, self._first + KEYS - 1
        )
        return [key for (key,) in found]

    def _any_key(self, transaction: Open, table: str) -> int | None:
        keys = self._keys(transaction, table)
        return self.random.choice(keys) if keys else None

    def _new_key(self, transaction: Open, table: str) -> int:
        """A key that no row of ours has: one never used, or, at times, one that a row had once."""
        used = self._used[table]
        if used and (self.random.random() < 0.3 or used == KEYS):
            gone = set(range(self._first, self._first + used)) - set(self._keys(transaction, table))
            if gone:
                return self.random.choice(sorted(gone))
        self._used[table] += 1
        return self._first + used

    def _value(self, transaction: Open, values: tuple[Any, ...] | Ref) -> Any:
        return self._any_key(transaction, values.table) if isinstance(values, Ref) else self.random.choice(values)

    def _maybe_stamped(self) -> dict[str, Any]:
        return {"last_updated": self._stamp()} if self.random.random() < 0.6 else {}

    def _stamp(self) -> datetime:
        """The application's clock, which often stands still: rows then share a stamp."""
        self._clock += timedelta(milliseconds=self.random.choice((0, 0, 0, 1, 60_000, 86_400_000)))
        return self._clock

    def execute(self, transaction: Open, statement: str, *values: Any) -> list[Any]:
        self.note(transaction.cursor.mogrify(statement, values).decode())
        return transaction.execute(statement, *values)

    def note(self, what: str) -> None:
        self.log.append(what)


def _free(table: str, lock: str) -> str:
    """The condition for a row of a key (a parameter) that no other transaction holds."""
    return f'{table}_id IN (SELECT {table}_id FROM "{table}" WHERE {table}_id = %s FOR {lock} SKIP LOCKED)'
