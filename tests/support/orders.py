"""Rows for a source without any: parents, designs and sales orders; and how a test asks a database."""

from __future__ import annotations

from contextlib import closing
from typing import Any

STAMPS = "'2024-01-05', '2024-01-05'"
PARENTS = (
    f"INSERT INTO department VALUES (1, 'Sales', 'Leds', 'Ann', {STAMPS})",
    f"INSERT INTO staff VALUES (1, 'Pat', 'Lee', 1, 'pat@example.com', {STAMPS})",
    f"INSERT INTO address VALUES (1, '1 High Street', NULL, NULL, 'Leeds', '08841', 'Turkey', '1803 637401', {STAMPS})",
    f"INSERT INTO counterparty VALUES (1, 'Frami', 1, NULL, NULL, {STAMPS})",
    f"INSERT INTO currency VALUES (1, 'GBP', {STAMPS})",
)


def design(key: int) -> str:
    return (
        "INSERT INTO design (design_id, design_name, file_location, file_name, created_at, last_updated)"
        f" VALUES ({key}, 'Wooden', '/usr', 'wooden.json', {STAMPS})"
    )


def order(key: int, design_id: int) -> str:
    return (
        "INSERT INTO sales_order (sales_order_id, design_id, staff_id, counterparty_id, units_sold, unit_price, currency_id,"
        f" agreed_delivery_date, agreed_payment_date, agreed_delivery_location_id, created_at, last_updated)"
        f" VALUES ({key}, {design_id}, 1, 1, 10, 3.10, 1, '2024-03-05', '2024-03-04', 1, {STAMPS})"
    )


def query(warehouse: Any, statement: str) -> list[tuple[Any, ...]]:
    with closing(warehouse.connect()) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())
