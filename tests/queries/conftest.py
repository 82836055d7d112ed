"""The stack that the deploy's tests have, with a few orders and payments in its lake."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from totesys.contracts import MIRROR_LINEAGE, Column, load_contracts

from tests.support.stack import DeployedStack

CONTRACTS = load_contracts()
ALIKE = {
    "int": 1,
    "bigint": 1,
    "boolean": False,
    "string": "x",
    "date": date(2026, 11, 2),
    "decimal(10,2)": Decimal("1.00"),
    "timestamp": datetime(2026, 11, 2),
}
NOVEMBER, DECEMBER = {"created_date": date(2026, 11, 30)}, {"created_date": date(2026, 12, 1)}
INITIAL: dict[str, list[dict[str, Any]]] = {
    "fact_sales_order": [
        {"sales_order_id": 1, "units_sold": 10, "unit_price": Decimal("2.50"), **NOVEMBER},
        {"sales_order_id": 2, "units_sold": 3, "unit_price": Decimal("0.10"), "sales_staff_id": 2, "currency_id": 2, **NOVEMBER},
        {"sales_order_id": 3, "units_sold": 7, "unit_price": Decimal("9.99"), **NOVEMBER},
    ],
    "fact_purchase_orders": [
        {"purchase_order_id": 1, "item_quantity": 3, "item_unit_price": Decimal("361.67")},
        {"purchase_order_id": 2, "item_quantity": 1, "item_unit_price": Decimal("0.01")},
        {"purchase_order_id": 3, "item_quantity": 2, "item_unit_price": Decimal("5.00"), "counterparty_id": 2, "currency_id": 2},
    ],
    "fact_payment": [
        {"payment_id": 1, "payment_amount": Decimal("25.00"), "payment_date": date(2026, 11, 29)},  # a Sunday
        {"payment_id": 2, "payment_amount": Decimal("0.30"), "payment_date": date(2026, 11, 30)},  # a Monday
        {"payment_id": 3, "payment_amount": Decimal("69.93"), "payment_date": date(2026, 12, 6)},  # that week's Sunday
        {"payment_id": 4, "payment_amount": Decimal("10.00"), "payment_date": date(2026, 12, 2), "payment_type_id": 3},
        {"payment_id": 5, "payment_amount": Decimal("99.00"), "payment_date": date(2026, 12, 2), "paid": True},
        {"payment_id": 6, "payment_amount": Decimal("50.00"), "payment_date": date(2026, 12, 2)},
    ],
    "dim_currency": [{"currency_id": 1, "currency_code": "GBP"}, {"currency_id": 2, "currency_code": "EUR"}],
    "dim_design": [{"design_id": 1, "design_name": "Wooden"}, {"design_id": 2, "design_name": "Wooden"}],
    "dim_staff": [
        {"staff_id": 1, "first_name": "Pat", "last_name": "O'Keefe", "department_name": "Sales"},
        {"staff_id": 2, "first_name": "Kim", "last_name": "Lee", "department_name": "Purchasing"},
    ],
    "dim_counterparty": [
        {"counterparty_id": 1, "counterparty_legal_name": "Frami, Yundt and Macejkovic"},
        {"counterparty_id": 2, "counterparty_legal_name": "Leannon"},
    ],
    "dim_payment_type": [
        {"payment_type_id": 1, "payment_type_name": "SALES_RECEIPT"},
        {"payment_type_id": 3, "payment_type_name": "PURCHASE_PAYMENT"},
    ],
}
# Order 1 gets more units and another seller, order 4 is new; payment 6 is paid.
STAMPED = {"batch_seq": 12, "last_updated_date": date(2026, 12, 1), "last_updated_time": "09:30:00.123"}
SECOND_DAY: dict[str, list[dict[str, Any]]] = {
    "fact_sales_order": [
        {"sales_order_id": 1, "units_sold": 12, "unit_price": Decimal("2.50"), "sales_staff_id": 2, **NOVEMBER, **STAMPED},
        {"sales_order_id": 4, "units_sold": 1, "unit_price": Decimal("4.00"), "design_id": 2, **DECEMBER, **STAMPED},
    ],
    "fact_payment": [
        {"payment_id": 6, "payment_amount": Decimal("50.00"), "payment_date": date(2026, 12, 2), "paid": True, **STAMPED, "batch_seq": 9},
    ],
}
DELETED = {"sales_order_id": 3, "is_deleted": True}  # at the source


def whole(row: Mapping[str, Any], columns: Sequence[Column]) -> dict[str, Any]:
    """The row with all columns: what a test does not name is the same in every row."""
    alike = {column.name: "08:00:00.000" if column.name.endswith("_time") else ALIKE[column.type] for column in columns}
    return {**alike, **row}


@pytest.fixture(scope="session")
def lake(stack: DeployedStack) -> Iterator[DeployedStack]:
    """Three facts in two days of batches, and the dimensions that they need."""
    with ExitStack() as partitions:

        def partition(database: str, table: str, value: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> None:
            filled = [whole(row, columns) for row in rows]
            partitions.enter_context(stack.partition(database, table, value, filled, columns))

        deployment = stack.deployment
        for day, tables in (("initial", INITIAL), ("2026-12-01", SECOND_DAY)):
            for table, rows in tables.items():
                value = day if table.startswith("fact_") else "0"
                partition(deployment.star_database, table, value, rows, CONTRACTS.warehouse[table].file_columns)
        partition(deployment.mirror_database, "sales_order", "0", [DELETED], (*CONTRACTS.source["sales_order"].columns, *MIRROR_LINEAGE))
        yield stack
