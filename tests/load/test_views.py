"""The views of the current state: the latest version of each key that is not deleted at the source."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection
from totesys.contracts import load_contracts
from totesys.warehouse.server import prepare_warehouse, warehouse_engine

from tests.load.lake import sales_order, sales_star

WAREHOUSE = load_contracts().warehouse
VIEWS = ["current_payment", "current_purchase_orders", "current_sales_order"]


@pytest.fixture
def session(warehouse) -> Iterator[Connection]:
    """A load's session in a warehouse that has been prepared."""
    with warehouse_engine(warehouse.credentials, "test").connect() as connection:
        prepare_warehouse(connection, WAREHOUSE)
        yield connection


def test_a_view_has_the_latest_version_of_what_is_not_deleted(lake, load, query):
    lake.publish(1, sales_star(sales_order(1), sales_order(2), sales_order(3)))
    lake.publish(2, {"fact_sales_order": [sales_order(1, units_sold=5)]}, deleted={"sales_order": [2], "payment": [3]})

    load()

    assert query("SELECT sales_order_id, units_sold FROM current_sales_order ORDER BY 1") == [(1, 5), (3, 42)]
    latest = "SELECT * FROM fact_sales_order WHERE sales_record_id = 4"
    assert query("SELECT * FROM current_sales_order WHERE sales_order_id = 1") == query(latest)
    assert query("SELECT * FROM current_sales_order WHERE sales_order_id = 2") == []


@pytest.mark.usefixtures("session")
def test_every_fact_has_a_view_with_a_comment(query):
    found = query("SELECT relname, obj_description(oid) FROM pg_class WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace")

    assert sorted(name for name, _ in found) == VIEWS
    assert all("not deleted at the source" in comment for _, comment in found)


def test_an_order_is_found_by_the_index(session, query, warehouse):
    warehouse.execute_as_superuser("ALTER TABLE fact_sales_order DISABLE TRIGGER ALL")  # the facts have no parents here
    query(
        "INSERT INTO fact_sales_order (sales_order_id, created_date, created_time, last_updated_date, last_updated_time, sales_staff_id,"
        " counterparty_id, units_sold, unit_price, currency_id, design_id, agreed_payment_date, agreed_delivery_date,"
        " agreed_delivery_location_id) SELECT n % 2000, '2026-03-02', '08:00', '2026-03-02', '08:00', 1, 1, n, 1, 1, 1, '2026-03-02',"
        " '2026-03-02', 1 FROM generate_series(1, 6000) AS n;"
        "INSERT INTO etl.tombstone SELECT 'sales_order', n, 2 FROM generate_series(100, 1500) AS n;"
    )
    query("ANALYZE fact_sales_order; ANALYZE etl.tombstone")

    plan = "\n".join(line for (line,) in query("EXPLAIN SELECT * FROM current_sales_order WHERE sales_order_id = 7"))

    assert "ix_fact_sales_order_versions" in plan
    assert "Seq Scan" not in plan
    assert query("SELECT sales_record_id FROM current_sales_order WHERE sales_order_id = 7") == [(4007,)]
    assert query("SELECT count(*) FROM current_sales_order") == [(2000 - 1401,)]


@pytest.mark.usefixtures("session")
def test_whoever_may_read_public_may_read_a_view_without_rights_on_our_schema(query, warehouse):
    query("CREATE ROLE views_reader; GRANT views_reader TO CURRENT_USER WITH INHERIT TRUE, SET TRUE")
    query("GRANT SELECT ON ALL TABLES IN SCHEMA public TO views_reader")
    try:
        connection = warehouse.connect()
        with connection.cursor() as cursor:
            cursor.execute("SET ROLE views_reader; SELECT has_schema_privilege('etl', 'USAGE')")
            assert cursor.fetchone() == (False,)
            cursor.execute("SELECT count(*) FROM current_sales_order")
            assert cursor.fetchone() == (0,)
        connection.close()
    finally:
        query("DROP OWNED BY views_reader; DROP ROLE views_reader")


def test_a_view_of_todays_definition_is_left_alone_even_while_it_is_read(session, warehouse):
    reader = warehouse.connect()
    with reader.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM current_payment")
        session.connection.driver_connection.cursor().execute("SET lock_timeout = '100ms'")

        assert prepare_warehouse(session, WAREHOUSE) == []
    reader.close()


def test_a_missing_view_and_one_of_another_definition_are_rebuilt(session, query):
    query("DROP VIEW current_payment; CREATE OR REPLACE VIEW current_sales_order AS SELECT * FROM fact_sales_order")
    query("COMMENT ON VIEW current_sales_order IS 'Definition of another release.'")

    assert prepare_warehouse(session, WAREHOUSE) == ["current_payment", "current_sales_order"]

    assert "DISTINCT ON" in query("SELECT pg_get_viewdef('current_sales_order')")[0][0]
    assert prepare_warehouse(session, WAREHOUSE) == []
