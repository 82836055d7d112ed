"""Generate the rows of the eight small tables in Python from a seed, in the order of their keys."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, time, timedelta
from random import Random
from typing import Any

from psycopg2 import sql
from psycopg2.extras import execute_values

from local_totesys import names

ADDRESSES = 30
COUNTERPARTIES = 20
SHARED_ADDRESSES = 14  # All counterparties are at the first 14 addresses, so some share an address.
STAFF = 20
DESIGNS = 470
FIRST_DESIGNS = 100  # Designs that exist before the first order; all others come during the history.
PAYMENT_TYPES = ("SALES_RECEIPT", "SALES_REFUND", "PURCHASE_PAYMENT", "PURCHASE_REFUND")

Row = Sequence[Any]


def insert(cursor: Any, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Insert rows without their key. The sequence gives the keys in the order of the rows."""
    statement = sql.SQL("INSERT INTO {} ({}) VALUES %s").format(sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns)))
    execute_values(cursor, statement, list(rows), page_size=1000)


def insert_reference(cursor: Any, seed: int, starts_at: datetime, days: int) -> None:
    """Fill the eight tables of an empty source. The first rows are entered at `starts_at`, and the history lasts `days` days."""
    random = Random(f"reference {seed}")
    stamps = (starts_at, starts_at)

    def stamped(rows: Iterable[Row]) -> list[Row]:
        return [(*row, *stamps) for row in rows]

    timestamps = ("created_at", "last_updated")
    insert(cursor, "currency", ("currency_code", *timestamps), stamped((code,) for code in names.CURRENCIES))
    insert(cursor, "payment_type", ("payment_type_name", *timestamps), stamped((name,) for name in PAYMENT_TYPES))
    insert(cursor, "department", ("department_name", "location", "manager", *timestamps), stamped(names.DEPARTMENTS))
    insert(cursor, "address", (*ADDRESS_COLUMNS, *timestamps), stamped(address(random, number) for number in range(ADDRESSES)))
    staff_columns = ("first_name", "last_name", "department_id", "email_address", *timestamps)
    insert(cursor, "staff", staff_columns, stamped(member_of_staff(random, number) for number in range(STAFF)))
    companies = [counterparty(random, number, random.randint(1, SHARED_ADDRESSES)) for number in range(COUNTERPARTIES)]
    insert(cursor, "counterparty", (*COUNTERPARTY_COLUMNS, *timestamps), stamped(companies))
    created = [starts_at] * FIRST_DESIGNS + sorted(working_time(random, starts_at, days) for _ in range(DESIGNS - FIRST_DESIGNS))
    insert(cursor, "design", (*DESIGN_COLUMNS, *timestamps), [(*design(random, at), at, at) for at in created])


ADDRESS_COLUMNS = ("address_line_1", "address_line_2", "district", "city", "postal_code", "country", "phone")
COUNTERPARTY_COLUMNS = ("counterparty_legal_name", "legal_address_id", "commercial_contact", "delivery_contact")
DESIGN_COLUMNS = ("design_name", "file_location", "file_name")


def working_time(random: Random, starts_at: datetime, days: int) -> datetime:
    """Return a moment between 08:00 and 18:59 on some weekday of the `days` days after `starts_at`."""
    weekdays = [day for day in range(1, days + 1) if (starts_at + timedelta(days=day)).weekday() < 5]
    day = starts_at.date() + timedelta(days=random.choice(weekdays))
    return datetime.combine(day, time(8)) + timedelta(milliseconds=random.randrange(11 * 3_600_000))


def address(random: Random, number: int) -> Row:
    """Return an address. About half of all addresses have no second line or district."""
    return (
        street(random),
        random.choice([None, f"Suite {random.randint(100, 999)}"]),
        random.choice([None, random.choice(names.DISTRICTS)]),
        random.choice(names.CITIES),
        names.AWKWARD_POSTAL_CODE if number == 1 else f"{random.randint(10000, 99999)}-{random.randint(0, 9999):04}",
        names.AWKWARD_COUNTRY if number == 2 else random.choice(names.COUNTRIES),
        phone(random),
    )


def street(random: Random) -> str:
    return f"{random.randint(1, 99999)} {random.choice(names.STREETS)}"


def phone(random: Random) -> str:
    return f"{random.randint(1000, 9999)} {random.randint(100000, 999999)}"


def member_of_staff(random: Random, number: int) -> Row:
    first = names.FIRST_NAMES[number]
    last = names.AWKWARD_LAST_NAME if number == 3 else random.choice(names.LAST_NAMES)
    return first, last, random.randint(1, len(names.DEPARTMENTS)), f"{first}.{last}@terrifictotes.com".lower()


def counterparty(random: Random, number: int, legal_address_id: int) -> Row:
    contact = names.AWKWARD_CONTACT if number == 5 else person(random)
    name = names.AWKWARD_COMPANY if number == 6 else random.choice(names.COMPANY_FORMS).format(*random.sample(names.LAST_NAMES, 3))
    return name, legal_address_id, contact, person(random)


def person(random: Random) -> str:
    return f"{random.choice(names.FIRST_NAMES)} {random.choice(names.LAST_NAMES)}"


def design(random: Random, at: datetime) -> Row:
    """Return a design. Its file's name contains the day on which it was drawn."""
    name = random.choice(names.MATERIALS)
    return name, random.choice(names.FOLDERS), f"{name.lower()}-{at:%Y%m%d}-{random.getrandbits(20):05x}.json"
