"""The demo's changes at the source, and the rows of the warehouse that show them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from operations.values import shorten

LATE = "a purchase order is changed by a transaction that was open during the first run, and committed after it"
# in a transaction that is open during the first run and committed after it
LATE_COMMIT = """
UPDATE purchase_order SET item_quantity = item_quantity + 1, last_updated = now() AT TIME ZONE 'UTC'
WHERE purchase_order_id = (SELECT max(purchase_order_id) FROM purchase_order)
"""

# each with its words in the report
CHANGES = (
    (
        "a sales order gets more units and another price",
        "UPDATE sales_order SET units_sold = units_sold + 10, unit_price = unit_price + 0.01, last_updated = now() AT TIME ZONE 'UTC'"
        " WHERE sales_order_id = %(order_id)s",
    ),
    (
        "its payment takes the new amount, and is made",
        "UPDATE payment SET paid = true, last_updated = now() AT TIME ZONE 'UTC',"
        " payment_amount = (SELECT units_sold * unit_price FROM sales_order WHERE sales_order_id = %(order_id)s)"
        " WHERE payment_id = %(payment_id)s",
    ),
    (
        "its customer's legal address changes",
        "UPDATE address SET address_line_1 = '1 O''Keefe Row', postal_code = '08841', last_updated = now() AT TIME ZONE 'UTC'"
        " WHERE address_id = (SELECT legal_address_id FROM counterparty WHERE counterparty_id = %(counterparty_id)s)",
    ),
    (
        "another sales order is edited silently: last_updated stays as it was",
        "UPDATE sales_order SET agreed_delivery_date = '2027-12-31' WHERE sales_order_id ="
        " (SELECT min(sales_order_id) FROM sales_order WHERE sales_order_id <> %(order_id)s)",
    ),
)


@dataclass(frozen=True)
class Subject:
    """The order that the report follows, with its payment and its customer."""

    order_id: int
    payment_id: int
    counterparty_id: int


@dataclass(frozen=True)
class Rows:
    """Rows of a warehouse table: its title in the report, the names of the columns, and the values as text."""

    title: str
    columns: list[str]
    values: list[list[str]]


_LOOKS = (
    (
        "fact_sales_order, order {order_id}",
        "SELECT sales_record_id, units_sold, unit_price, last_updated_date, last_updated_time FROM fact_sales_order"
        " WHERE sales_order_id = %(order_id)s ORDER BY sales_record_id",
    ),
    (
        "fact_payment, payment {payment_id}",
        "SELECT payment_record_id, payment_amount, paid, last_updated_date, last_updated_time FROM fact_payment"
        " WHERE payment_id = %(payment_id)s ORDER BY payment_record_id",
    ),
    (
        "dim_counterparty, counterparty {counterparty_id}",
        "SELECT counterparty_legal_name AS name, counterparty_legal_address_line_1 AS address_line_1,"
        " counterparty_legal_postal_code AS postal_code FROM dim_counterparty WHERE counterparty_id = %(counterparty_id)s",
    ),
)


def choose_subject(source: Any) -> Subject:
    """Return the newest unpaid sales order, or the newest if all are paid."""
    with source.cursor() as cursor:
        cursor.execute("""
            SELECT o.sales_order_id, p.payment_id, o.counterparty_id
            FROM sales_order AS o JOIN transaction AS t USING (sales_order_id) JOIN payment AS p USING (transaction_id)
            ORDER BY p.paid, o.sales_order_id DESC LIMIT 1
        """)
        return Subject(*cursor.fetchone())


def subject_rows(warehouse: Any, subject: Subject) -> list[Rows]:
    """Return what the warehouse has about the subject now."""
    found = []
    for title, statement in _LOOKS:
        with warehouse.cursor() as cursor:
            cursor.execute(statement, vars(subject))
            columns = [column.name for column in cursor.description]
            values = [[shorten(str(value)) for value in row] for row in cursor.fetchall()]
            found.append(Rows(title.format(**vars(subject)), columns, values))
    return found
