"""A source and a warehouse that agree, small enough to read: each test then plants one disagreement."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from totesys.contracts import load_contracts
from totesys.runtime.secrets import Credentials
from totesys.warehouse.server import prepare_warehouse, warehouse_engine

from local_totesys.postgres import HOST, OWNER, PostgresServer
from operations.reconcile.compare import compare_all
from operations.reconcile.kept_out import KeptOut
from operations.reconcile.result import TableComparison

STAMP = "'2024-03-01 09:30:00.123'"
SOURCE_ROWS = f"""
INSERT INTO address VALUES
    (1, '6826 Herzog Via', NULL, 'Avon', 'New Patienceburgh', '08841', 'Turkey', '1803 637401', {STAMP}, {STAMP}),
    (2, '179 Alexie Cliffs', '', NULL, 'Aliso Viejo', '99305', 'Democratic People''s Republic of Korea', '9621 880720', {STAMP}, {STAMP});
INSERT INTO counterparty VALUES (1, 'Frami, Yundt and Macejkovic', 1, NULL, NULL, {STAMP}, {STAMP});
INSERT INTO currency VALUES (1, 'GBP', {STAMP}, {STAMP}), (2, 'XQZ', {STAMP}, {STAMP});
INSERT INTO department VALUES (1, 'Sales', NULL, 'Ann', {STAMP}, {STAMP}), (2, 'Purchasing', 'Leds', NULL, {STAMP}, {STAMP});
INSERT INTO staff VALUES
    (1, 'Pat', 'O''Keefe', 1, 'pat@example.com', {STAMP}, {STAMP}),
    (2, 'Kim', 'Lee', 2, 'kim@example.com', {STAMP}, {STAMP});
INSERT INTO design (design_id, design_name, file_location, file_name, created_at, last_updated)
    VALUES (1, 'Wooden', '/usr', 'wooden.json', {STAMP}, {STAMP});
INSERT INTO payment_type VALUES (1, 'SALES_RECEIPT', {STAMP}, {STAMP});
INSERT INTO sales_order (sales_order_id, design_id, staff_id, counterparty_id, units_sold, unit_price, currency_id,
    agreed_delivery_date, agreed_payment_date, agreed_delivery_location_id, created_at, last_updated) VALUES
    (1, 1, 1, 1, 500, 3.10, 1, '2024-03-05', '2024-03-04', 2, {STAMP}, {STAMP}),
    (25000, 1, 1, 1, 7, 0.99, 2, '2024-03-06', '2024-03-07', 1, {STAMP}, {STAMP});
INSERT INTO purchase_order (purchase_order_id, staff_id, counterparty_id, item_code, item_quantity, item_unit_price, currency_id,
    agreed_delivery_date, agreed_payment_date, agreed_delivery_location_id, created_at, last_updated)
    VALUES (1, 2, 1, 'ZDOI5EA', 3, 361.67, 1, '2024-03-09', '2024-03-08', 1, {STAMP}, {STAMP});
INSERT INTO transaction VALUES (1, 'SALE', 1, NULL, {STAMP}, {STAMP}), (2, 'PURCHASE', NULL, 1, {STAMP}, {STAMP});
INSERT INTO payment (payment_id, transaction_id, counterparty_id, payment_amount, currency_id, payment_type_id, paid, payment_date,
    company_ac_number, counterparty_ac_number, created_at, last_updated)
    VALUES (1, 1, 1, 1550.00, 1, 1, false, '2024-03-04', 11111111, 22222222, {STAMP}, {STAMP});
"""
DAY_AND_TIME = "'2024-03-01', '09:30:00.123'"
WAREHOUSE_ROWS = f"""
DROP VIEW current_payment, current_purchase_orders, current_sales_order;  -- the types of columns that a view shows cannot be changed
INSERT INTO dim_date SELECT day, extract(year FROM day), extract(month FROM day), extract(day FROM day), extract(isodow FROM day),
    to_char(day, 'FMDay'), to_char(day, 'FMMonth'), extract(quarter FROM day)
    FROM generate_series(timestamp '2024-01-01', '2024-12-31', interval '1 day') AS day;
INSERT INTO dim_location VALUES
    (1, '6826 Herzog Via', NULL, 'Avon', 'New Patienceburgh', '08841', 'Turkey', '1803 637401'),
    (2, '179 Alexie Cliffs', '', NULL, 'Aliso Viejo', '99305', 'Democratic People''s Republic of Korea', '9621 880720');
INSERT INTO dim_counterparty
    VALUES (1, 'Frami, Yundt and Macejkovic', '6826 Herzog Via', NULL, 'Avon', 'New Patienceburgh', '08841', 'Turkey', '1803 637401');
INSERT INTO dim_currency VALUES (1, 'GBP', 'British Pound'), (2, 'XQZ', 'XQZ');
INSERT INTO dim_staff VALUES
    (1, 'Pat', 'O''Keefe', 'Sales', '', 'pat@example.com'),
    (2, 'Kim', 'Lee', 'Purchasing', 'Leds', 'kim@example.com');
INSERT INTO dim_design VALUES (1, 'Wooden', '/usr', 'wooden.json');
INSERT INTO dim_payment_type VALUES (1, 'SALES_RECEIPT');
INSERT INTO dim_transaction VALUES (1, 'SALE', 1, NULL), (2, 'PURCHASE', NULL, 1);
INSERT INTO fact_sales_order VALUES
    (1, 1, {DAY_AND_TIME}, {DAY_AND_TIME}, 1, 1, 400, 3.10, 1, 1, '2024-03-04', '2024-03-05', 2),
    (2, 1, {DAY_AND_TIME}, {DAY_AND_TIME}, 1, 1, 500, 3.10, 1, 1, '2024-03-04', '2024-03-05', 2),
    (3, 25000, {DAY_AND_TIME}, {DAY_AND_TIME}, 1, 1, 7, 0.99, 2, 1, '2024-03-07', '2024-03-06', 1);
INSERT INTO fact_purchase_orders
    VALUES (1, 1, {DAY_AND_TIME}, {DAY_AND_TIME}, 2, 1, 'ZDOI5EA', 3, 361.67, 1, '2024-03-09', '2024-03-08', 1);
INSERT INTO fact_payment VALUES (1, 1, {DAY_AND_TIME}, {DAY_AND_TIME}, 1, 1, 1550.00, 1, 1, false, '2024-03-04');
"""


@dataclass
class Pair:
    """Both databases as their owner sees them, each in a transaction that is never committed."""

    source: Any
    warehouse: Any

    def at_source(self, statement: str) -> None:
        _execute(self.source, statement)

    def in_warehouse(self, statement: str) -> None:
        _execute(self.warehouse, statement)

    def around_keys(self, statement: str) -> None:
        """Does to the warehouse what its foreign keys would refuse, as one can who turns triggers off."""
        _execute(self.warehouse, without_triggers(statement))

    def deleted(self, source_table: str, key: int) -> None:
        """A row is deleted at the source, whoever refers to it, and the load has heard of it."""
        statement = f'DELETE FROM "{source_table}" WHERE {source_table}_id = {key}'
        _execute(self.source, without_triggers(statement))
        self.tombstone(source_table, key)

    def tombstone(self, source_table: str, key: int) -> None:
        """The load has heard that a row is deleted at the source."""
        self.in_warehouse(f"INSERT INTO etl.tombstone (source_table, key, batch_seq) VALUES ('{source_table}', {key}, 2)")

    def comparisons(self, kept_out: KeptOut | None = None) -> dict[str, TableComparison]:
        """Every table's comparison."""
        return {comparison.table: comparison for comparison in compare_all(load_contracts(), self.source, self.warehouse, kept_out)}

    def differences(self, kept_out: KeptOut | None = None) -> list[str]:
        """Every listed difference, as it is printed."""
        return [str(difference) for comparison in self.comparisons(kept_out).values() for difference in comparison.listed]


@pytest.fixture(scope="session")
def agreeing_databases(
    postgres: PostgresServer, source_template: str, warehouse_template: str, new_database: Callable[[str], str]
) -> tuple[str, str]:
    """The names of a source and a warehouse that agree; order 1 has an older version."""
    source, warehouse = new_database(source_template), new_database(warehouse_template)
    engine = warehouse_engine(Credentials(HOST, postgres.port, warehouse, OWNER, postgres.password, "disable"), "test")
    with engine.connect() as connection:
        prepare_warehouse(connection, load_contracts().warehouse)
    for dbname, rows in ((source, SOURCE_ROWS), (warehouse, WAREHOUSE_ROWS)):
        connection = postgres.connect(dbname)
        _execute(connection, rows)
        connection.commit()
        connection.close()
    return source, warehouse


@pytest.fixture
def agreeing(postgres: PostgresServer, agreeing_databases: tuple[str, str]) -> Iterator[Pair]:
    """The two, for one test to change; its changes go with it."""
    source, warehouse = (postgres.connect_as_superuser(dbname) for dbname in agreeing_databases)
    for connection in (source, warehouse):
        _execute(connection, f"SET ROLE {OWNER}")
    yield Pair(source, warehouse)
    for connection in (source, warehouse):
        connection.rollback()  # done when it returns; a closed connection may hold its locks for a moment more
        connection.close()


def without_triggers(statement: str) -> str:
    """The statement as the superuser who opened the session may run it: no trigger fires, and so no foreign key is checked."""
    before = "SET LOCAL ROLE NONE; SET LOCAL session_replication_role = replica"
    return f"{before}; {statement}; SET LOCAL session_replication_role = origin; SET LOCAL ROLE {OWNER}"


def _execute(connection: Any, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
