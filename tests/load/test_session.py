"""The load works by its own settings: what is set for its role or for the database neither ends nor changes a load."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from psycopg2 import sql
from totesys.errors import FatalError
from totesys.runtime.secrets import Credentials

from tests.conftest import Database
from tests.load.lake import PublishedLake, sales_order, sales_star

Query = Callable[..., list[tuple]]
COUNTS = "SELECT (SELECT count(*) FROM public.fact_sales_order), (SELECT count(*) FROM public.dim_date)"

# All of them, one at a time, end today's load or change what it does.
SETTINGS = {
    "idle_session_timeout": "'500ms'",
    "transaction_timeout": "'500ms'",
    "statement_timeout": "'5ms'",
    "lock_timeout": "'1ms'",
    "idle_in_transaction_session_timeout": "'5ms'",
    "default_transaction_read_only": "on",
    "default_transaction_isolation": "serializable",
    "search_path": "nowhere",
    "quote_all_identifiers": "on",
    "DateStyle": "SQL, DMY",
    "client_encoding": "LATIN1",
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_of_the_database_does_not_disturb_a_load(
    lake: PublishedLake, load: Callable[..., Any], warehouse: Database, query: Query, name: str
) -> None:
    query(f"ALTER DATABASE {warehouse.dbname} SET {name} = {SETTINGS[name]}")
    lake.publish(1, sales_star(sales_order(1)))
    load()
    lake.publish(2, {"fact_sales_order": [sales_order(2)]})

    load()

    assert query(COUNTS) == [(2, 365)]


def test_a_superusers_load_checks_a_parent_whatever_the_role_of_replication(
    lake: PublishedLake, new_job: Callable[..., Any], warehouse: Database
) -> None:
    warehouse.execute_as_superuser(f"ALTER DATABASE {warehouse.dbname} SET session_replication_role = replica")
    lake.publish(1, sales_star(sales_order(1)))
    new_job(warehouse.superuser_credentials).run()
    warehouse.execute_as_superuser(
        "SET session_replication_role = origin",
        "ALTER TABLE fact_sales_order ADD COLUMN other int REFERENCES dim_design",
        "ALTER TABLE fact_sales_order ALTER COLUMN other SET DEFAULT 7",
    )
    lake.publish(2, {"fact_sales_order": [sales_order(2)]})

    with pytest.raises(Exception, match="fact_sales_order_other_fkey"):
        new_job(warehouse.superuser_credentials).run()


@pytest.fixture
def plain(warehouse: Database, query: Query) -> Iterator[Credentials]:
    """A role that may do what the load does, and no more."""
    query("CREATE ROLE plain_load LOGIN PASSWORD 'plain'")
    query(f"GRANT CREATE, CONNECT ON DATABASE {warehouse.dbname} TO plain_load; GRANT ALL ON SCHEMA public TO plain_load")
    yield Credentials(
        warehouse.credentials.host, warehouse.credentials.port, warehouse.dbname, "plain_load", "plain", warehouse.credentials.sslmode
    )
    warehouse.execute_as_superuser("DROP OWNED BY plain_load", "DROP ROLE plain_load")


def test_a_role_of_replication_that_the_load_may_not_change_is_named_with_its_cure(
    lake: PublishedLake, new_job: Callable[..., Any], plain: Credentials, warehouse: Database
) -> None:
    warehouse.execute_as_superuser("ALTER ROLE plain_load SET session_replication_role = replica")
    lake.publish(1, sales_star(sales_order(1)))

    with pytest.raises(FatalError, match=r"session_replication_role is replica for user plain_load.*RESET session_replication_role"):
        new_job(plain).run()


def test_rows_that_a_policy_hides_stop_a_load(
    lake: PublishedLake, new_job: Callable[..., Any], plain: Credentials, warehouse: Database
) -> None:
    lake.publish(1, sales_star(sales_order(1)))
    new_job(plain).run()
    policy = "ALTER TABLE dim_design {} ROW LEVEL SECURITY"
    warehouse.execute_as_superuser(policy.format("ENABLE"), policy.format("FORCE"))
    lake.publish(2, {"fact_sales_order": [sales_order(2)]})

    with pytest.raises(FatalError, match='row-level security policy for table "dim_design"'):
        new_job(plain).run()


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_warehouse_that_is_not_utf8_is_refused_before_anything_is_made(
    lake: PublishedLake, new_job: Callable[..., Any], warehouse: Database, encoding: str
) -> None:
    other = Database(warehouse.server, f"{warehouse.dbname}_{encoding.lower()}")
    create = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING {} LOCALE_PROVIDER libc LOCALE 'C'")
    warehouse.server.execute(create.format(sql.Identifier(other.dbname), sql.Literal(encoding)))
    lake.publish(1, sales_star(sales_order(1)))
    try:
        with pytest.raises(FatalError, match=f"has the encoding {encoding}.*ENCODING 'UTF8'"):
            new_job(other.credentials).run()
        with other.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT to_regnamespace('etl') IS NULL, to_regclass('public.dim_date') IS NULL")
            assert cursor.fetchone() == (True, True)
        connection.close()
    finally:
        warehouse.server.drop_database(other.dbname)
