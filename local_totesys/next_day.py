"""Add one business day to totesys: payments are made, orders come in, and people change rows, some without a new last_updated."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date, datetime, time, timedelta
from random import Random
from typing import Any

from local_totesys.generator import SourceError, insert_orders
from local_totesys.orders import business_day, business_day_number
from local_totesys.reference import COUNTERPARTY_COLUMNS, DESIGN_COLUMNS, counterparty, design, insert, phone, street

# Each statement takes the row at a share of the table's keys, which exists whatever keys are missing, and gives it a different value.
EDITS = (
    """UPDATE sales_order SET last_updated = %(at)s,
        agreed_delivery_date = to_char(created_at + %(days)s * interval '1 day', 'YYYY-MM-DD')
    WHERE sales_order_id = (SELECT min(sales_order_id) FROM sales_order WHERE sales_order_id >= %(share)s *
        (SELECT max(sales_order_id) FROM sales_order))""",
    """UPDATE purchase_order SET last_updated = %(at)s,
        agreed_delivery_date = to_char(created_at + %(days)s * interval '1 day', 'YYYY-MM-DD')
    WHERE purchase_order_id = (SELECT min(purchase_order_id) FROM purchase_order WHERE purchase_order_id >= %(share)s *
        (SELECT max(purchase_order_id) FROM purchase_order))""",
)
SILENT_EDITS = (
    """UPDATE sales_order SET agreed_delivery_location_id = (SELECT address_id FROM address WHERE address_id <> agreed_delivery_location_id
        ORDER BY address_id OFFSET (SELECT floor(%(pick)s * (count(*) - 1)) FROM address) LIMIT 1)
    WHERE sales_order_id = (SELECT min(sales_order_id) FROM sales_order WHERE sales_order_id >= %(share)s *
        (SELECT max(sales_order_id) FROM sales_order))""",
    """UPDATE purchase_order SET staff_id = (SELECT s.staff_id FROM staff AS s WHERE s.staff_id <> purchase_order.staff_id
        ORDER BY s.staff_id OFFSET (SELECT floor(%(pick)s * (count(*) - 1)) FROM staff) LIMIT 1)
    WHERE purchase_order_id = (SELECT min(purchase_order_id) FROM purchase_order WHERE purchase_order_id >= %(share)s *
        (SELECT max(purchase_order_id) FROM purchase_order))""",
    """UPDATE sales_order SET design_id = (SELECT d.design_id FROM design AS d WHERE d.design_id <> sales_order.design_id
        ORDER BY d.design_id OFFSET (SELECT floor(%(pick)s * (count(*) - 1)) FROM design) LIMIT 1)
    WHERE sales_order_id = (SELECT min(sales_order_id) FROM sales_order WHERE sales_order_id >= %(share)s *
        (SELECT max(sales_order_id) FROM sales_order))""",
    """UPDATE design SET file_location = file_location || '/moved'
    WHERE design_id = (SELECT min(design_id) FROM design WHERE design_id >= %(share)s * (SELECT max(design_id) FROM design))""",
)


@dataclass(frozen=True)
class DayReport:
    """How many rows each kind of event changed on this day."""

    day: date
    payments_made: int
    orders: int
    edits: int
    silent_edits: int
    address_changes: int
    new_designs: int
    new_counterparties: int

    def __str__(self) -> str:
        counts = {name: count for name, count in asdict(self).items() if name != "day"}
        return f"{self.day:%A} {self.day}: " + ", ".join(f"{count} {event.replace('_', ' ')}" for event, count in counts.items())


def next_day(connection: Any, seed: int | None = None) -> DayReport:
    """Add the weekday after the newest order, each event in its own transaction. The default seed is the day's number."""
    with connection, connection.cursor() as cursor:
        day = following_weekday(cursor)
    if seed is None:
        seed = day.toordinal()
    random = Random(f"{day} {seed}")
    made = pay(connection, moment(day, time(7, 55), random, 60))
    new_designs = add_design(connection, day, random) if random.random() < 0.4 else 0
    new_counterparties = add_counterparty(connection, day, random) if random.random() < 0.1 else 0
    orders = random.randint(26, 34)
    number = business_day_number(day)
    with connection, connection.cursor() as cursor:
        insert_orders(cursor, orders, number, number, day, seed, progress=lambda step: None)
    edits = sum(change(connection, random.choice(EDITS), day, random) for _ in range(random.randint(3, 6)))
    silent_edits = sum(change(connection, statement, day, random) for statement in random.sample(SILENT_EDITS, random.randint(2, 4)))
    return DayReport(day, made, orders, edits, silent_edits, change_address(connection, day, random), new_designs, new_counterparties)


def following_weekday(cursor: Any) -> date:
    """Return the weekday after the newest order. SourceError when there are no orders."""
    cursor.execute("SELECT max(created_at)::date FROM transaction")
    (newest,) = cursor.fetchone()
    if newest is None:
        raise SourceError("the source has no orders, so there is no day to continue from: run generate first")
    return business_day(business_day_number(newest) + 1)


def moment(day: date, start: time, random: Random, seconds: int = 11 * 3600) -> datetime:
    """Return a random moment of the day, in milliseconds, at most this many seconds after `start`."""
    return datetime.combine(day, start) + timedelta(milliseconds=random.randrange(seconds * 1000))


def working_moment(day: date, random: Random) -> datetime:
    return moment(day, time(8), random)


def execute(connection: Any, statement: str, **values: Any) -> int:
    """Run one statement in its own transaction. Return how many rows it changed."""
    with connection, connection.cursor() as cursor:
        cursor.execute(statement, values)
        return int(cursor.rowcount)


def pay(connection: Any, at: datetime) -> int:
    """Make the payments that are due today, except those of today's orders, all with the same last_updated."""
    due = "UPDATE payment SET paid = true, last_updated = %(at)s WHERE NOT paid AND payment_date = %(day)s AND created_at < %(day)s::date"
    return execute(connection, due, at=at, day=f"{at:%Y-%m-%d}")


def add_design(connection: Any, day: date, random: Random) -> int:
    at = working_moment(day, random)
    with connection, connection.cursor() as cursor:
        insert(cursor, "design", (*DESIGN_COLUMNS, "created_at", "last_updated"), [(*design(random, at), at, at)])
    return 1


def add_counterparty(connection: Any, day: date, random: Random) -> int:
    """Add a counterparty, at an existing address."""
    at = working_moment(day, random)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT address_id FROM address ORDER BY address_id")
        (legal_address_id,) = random.choice(cursor.fetchall())
        row = (*counterparty(random, -1, legal_address_id), at, at)
        insert(cursor, "counterparty", (*COUNTERPARTY_COLUMNS, "created_at", "last_updated"), [row])
    return 1


def change(connection: Any, statement: str, day: date, random: Random) -> int:
    """Change one order or design, usually a recent one."""
    share, pick, days = 1 - random.random() ** 3, random.random(), random.randint(8, 650)
    return execute(connection, statement, at=working_moment(day, random), share=share, pick=pick, days=days)


def change_address(connection: Any, day: date, random: Random) -> int:
    """Move a counterparty: its legal address row changes, and so does the address of every counterparty that shares the row."""
    return execute(
        connection,
        "UPDATE address SET address_line_1 = %(street)s, phone = %(phone)s, last_updated = %(at)s WHERE address_id ="
        " (SELECT legal_address_id FROM counterparty ORDER BY counterparty_id OFFSET"
        " (SELECT floor(%(pick)s * count(*)) FROM counterparty) LIMIT 1)",
        street=street(random), phone=phone(random), at=working_moment(day, random), pick=random.random(),
    )  # fmt: skip
