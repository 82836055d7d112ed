"""Small batches of change at the source, each of the same shape, and what they must leave in the warehouse."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from datetime import date
from typing import Any

from totesys.contracts import load_contracts

from local_totesys.generator import generate
from tests.conftest import Database
from tests.support.exact import Versions

_ORDERS = 40
_SEED = 7
_LAST_DAY = date(2026, 11, 20)

# A copy of some order, so that all its dates are of a year that the calendar has, with its transaction and its payment.
_NEW_ORDER = """
WITH ordered AS (
    INSERT INTO sales_order (
        created_at, last_updated, design_id, staff_id, counterparty_id, units_sold, unit_price, currency_id,
        agreed_delivery_date, agreed_payment_date, agreed_delivery_location_id
    )
    SELECT now, now, design_id, staff_id, counterparty_id, units_sold, unit_price, currency_id,
        agreed_delivery_date, agreed_payment_date, agreed_delivery_location_id
    FROM sales_order, (SELECT date_trunc('milliseconds', now() AT TIME ZONE 'UTC') AS now) AS clock WHERE sales_order_id = 1
    RETURNING *
), traded AS (
    INSERT INTO transaction (created_at, last_updated, transaction_type, sales_order_id)
    SELECT created_at, last_updated, 'SALE', sales_order_id FROM ordered RETURNING transaction_id
)
INSERT INTO payment (
    created_at, last_updated, transaction_id, counterparty_id, payment_amount, currency_id, payment_type_id, paid, payment_date,
    company_ac_number, counterparty_ac_number
)
SELECT created_at, last_updated, transaction_id, counterparty_id, units_sold * unit_price, currency_id, 1, false, agreed_payment_date, 1, 2
FROM ordered, traded
RETURNING (SELECT sales_order_id FROM ordered), payment_id
"""
_UPDATE = "UPDATE sales_order SET units_sold = units_sold + 1, last_updated = now() AT TIME ZONE 'UTC' WHERE sales_order_id = %s"
_SILENT_EDIT = "UPDATE sales_order SET unit_price = unit_price + 0.01 WHERE sales_order_id = %s"
# It reaches the location, and every counterparty that has its seat there.
_MOVE = """
UPDATE address SET phone = %s, last_updated = now() AT TIME ZONE 'UTC'
WHERE address_id = (SELECT min(legal_address_id) FROM counterparty)
"""
_DELETE = "DELETE FROM payment WHERE payment_id = %s"


class Deltas:
    """The source of one trial. Fills an empty one; each `apply` is a delta, and `expected` what all so far must leave behind."""

    def __init__(self, source: Database) -> None:
        self._source = source
        self.number = 0
        self.expected: Versions = Counter()
        with closing(source.connect()) as connection:
            generate(connection, _ORDERS, _SEED, _LAST_DAY)
            with connection, connection.cursor() as cursor:
                for fact in load_contracts().facts.values():
                    (table,) = fact.inputs
                    cursor.execute(f'SELECT {fact.lake_key} FROM "{table}"')
                    self.expected.update((fact.table, key) for (key,) in cursor)
        self._last_payment = max(key for fact, key in self.expected if fact == "fact_payment")

    def apply(self) -> None:
        """Commits the next delta: an order with its transaction and payment, an update, a silent edit, a moved address, a delete."""
        self.number += 1
        updated, edited = 2 + self.number % 2, 4 + self.number % 2
        with closing(self._source.connect()) as connection, connection, connection.cursor() as cursor:
            order, payment = _row(cursor, _NEW_ORDER)
            cursor.execute(_UPDATE, (updated,))
            cursor.execute(_SILENT_EDIT, (edited,))
            cursor.execute(_MOVE, (f"1803 {self.number:06}",))
            cursor.execute(_DELETE, (self._last_payment,))
        sales = [("fact_sales_order", key) for key in (order, updated, edited)]
        self.expected.update([*sales, ("fact_payment", payment)])
        self._last_payment = payment


def _row(cursor: Any, statement: str) -> tuple[int, int]:
    cursor.execute(statement)
    found: tuple[int, int] = cursor.fetchone()
    return found
