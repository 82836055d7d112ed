"""What stops a load: nothing is half done, the message says who must act, and the next load brings everything in."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest
from sqlalchemy import MetaData, Table
from totesys.errors import BadDataError, FatalError, RetriableError
from totesys.errors.warehouse import spark_errors
from totesys.lake.store import Bucket
from totesys.load.staging import StagingWriter
from totesys.warehouse import session
from totesys.warehouse.session import SESSION

from tests.load.conftest import STAGING, LoadHistory, goes_on_from, waiting_for_ledger
from tests.load.lake import PublishedLake, currency, sales_order, sales_star
from tests.support.job_scripts import job_command
from tests.support.local_aws.machine import free_port, wait_until

COUNTS = "SELECT (SELECT count(*) FROM fact_sales_order), (SELECT count(*) FROM dim_date), (SELECT count(*) FROM etl.load_ledger)"


@pytest.fixture(scope="module")
def loaded_once(new_history: Callable[..., LoadHistory]) -> LoadHistory:
    """A warehouse that holds one order, and a lake with two more."""

    def happen(lake: PublishedLake, load: Callable[[], Any]) -> None:
        lake.publish(1, sales_star(sales_order(1)))
        load()
        lake.publish(2, {"fact_sales_order": [sales_order(2), sales_order(3)]})

    return new_history(happen)


def staging_of(query) -> str:
    [(name,)] = query(STAGING)
    return f"etl.{name}"


@goes_on_from("loaded_once")
def test_rows_that_a_retried_task_staged_twice_are_refused(load, query, run_until_merge):
    [error] = run_until_merge(1, lambda: query(f"INSERT INTO {staging_of(query)} SELECT * FROM {staging_of(query)}"))

    assert isinstance(error, RetriableError)
    assert "holds 4 rows instead of 2" in str(error)
    assert query(COUNTS) == [(1, 365, 1)]
    load()
    assert query(COUNTS) == [(3, 365, 2)]


@goes_on_from("loaded_once")
def test_a_staging_table_that_a_crash_of_the_server_emptied_is_refused(load, query, run_until_merge):
    [error] = run_until_merge(1, lambda: query(f"DELETE FROM {staging_of(query)}"))

    assert isinstance(error, RetriableError)
    assert "holds 0 rows instead of 2" in str(error)
    load()
    assert query(COUNTS) == [(3, 365, 2)]


@goes_on_from("loaded_once")
def test_of_two_loads_at_once_one_brings_the_rows_and_the_other_steps_back(query, run_until_merge):
    first, second = run_until_merge(2, lambda: None)

    assert first == second
    assert first.publish_seq == 2
    assert query(COUNTS) == [(3, 365, 2)]
    assert query(STAGING) == []


@goes_on_from("loaded_once")
def test_a_load_whose_session_breaks_leaves_nothing_but_dead_staging_which_the_next_drops(load, query, run_until_merge):
    end = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'totesys-load-%%' AND wait_event_type = 'Lock'"
    )

    [error] = run_until_merge(1, lambda: query(end))

    assert isinstance(error, RetriableError)
    assert query(COUNTS) == [(1, 365, 1)]
    load()
    assert query(COUNTS) == [(3, 365, 2)]
    assert query(STAGING) == []


@goes_on_from("loaded_once")
def test_a_process_killed_before_its_commit_is_made_good_by_the_next(lake, load, query, warehouse, aws, job_environment):
    aws.client("secretsmanager").create_secret(Name="totesys/warehouse", SecretString=json.dumps(asdict(warehouse.credentials)))
    holder = warehouse.connect()
    with holder.cursor() as cursor:
        cursor.execute("LOCK TABLE etl.load_ledger IN SHARE MODE")
        process = subprocess.Popen(
            job_command(
                "load", ["--project", "totesys", "--processed_bucket", lake.bucket.name, "--warehouse_secret", "totesys/warehouse"]
            ),
            env={**os.environ, **job_environment}, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        try:
            wait_until("the load has staged its rows", lambda: waiting_for_ledger(cursor) == 1, 60)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    output, _ = process.communicate()
    holder.close()
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'totesys-load-%%'"
    wait_until("the server has noticed", lambda: query(sessions) == [(0,)])
    assert warehouse.credentials.password not in output
    assert query(COUNTS) == [(1, 365, 1)]

    load()

    assert query(COUNTS) == [(3, 365, 2)]
    assert query(STAGING) == []


def test_an_order_without_its_units_is_refused_with_everything_that_came_with_it(lake, load, query):
    lake.publish(1, sales_star(sales_order(1, units_sold=None)))

    with pytest.raises(BadDataError, match="null value in column"):
        load()

    assert query(COUNTS) == [(0, 0, 0)]


def test_a_version_that_stands_twice_in_the_lake_is_refused(lake, load, query):
    lake.publish(1, sales_star(sales_order(1), sales_order(1)))

    with pytest.raises(BadDataError, match="holds 1 rows of fact_sales_order twice"):
        load()

    assert query(COUNTS) == [(0, 0, 0)]


def test_a_lake_with_other_new_rows_than_its_manifest_promises_is_refused(lake, load):
    lake.publish(1, {"dim_currency": [currency(1)]}, promised={"dim_currency": 2})

    with pytest.raises(BadDataError, match="1 new rows of dim_currency, but the manifest of publish 1 says 2"):
        load()


def test_files_with_other_rows_than_the_manifest_says_are_refused(lake, load):
    manifest = lake.publish(1, {"dim_currency": [currency(1)]})
    lake.copy(manifest.star["dim_currency"]["0"].prefix)

    with pytest.raises(BadDataError, match="files of dim_currency hold 2 rows, but the manifest of publish 1 says 1"):
        load()


def test_files_that_are_gone_are_named(lake, load):
    lake.publish(1, sales_star(sales_order(1)))
    lake.remove_files("star/dim_staff")

    with pytest.raises(BadDataError, match=r"dim_staff/publish_id=0000000001-00000000/key_range=0.* no files"):
        load()


def test_a_value_that_the_warehouse_cannot_hold_is_refused_and_never_shown(lake, load, warehouse):
    lake.publish(1, sales_star(sales_order(1, created_time="25:61:00.000")))

    with pytest.raises(BadDataError, match=r"cannot hold a value .*compare the warehouse.s columns with the contract") as raised:
        load()

    shown = f"{raised.value} {raised.value.__cause__}"  # the cause is what Spark logs
    assert "BatchUpdateException" in shown
    assert "18:59:59" not in shown  # the row's other columns
    assert warehouse.credentials.password not in shown


def test_a_row_that_breaks_a_rule_of_its_table_is_refused_and_never_shown(spark, warehouse, query):
    query("CREATE TABLE orders (id bigint CHECK (id < 4711))")
    orders = Table("orders", MetaData(schema="public"))

    broken = r"new row for relation .orders. violates check constraint.*23514"
    with pytest.raises(BadDataError, match=broken) as raised, spark_errors(warehouse.credentials):
        StagingWriter(warehouse.credentials, "abcdef01", options="").write(spark.range(4711, 4712), orders, at_most=1)

    assert "4711" not in str(raised.value)


@goes_on_from("loaded_once")
def test_a_session_that_a_limit_of_the_server_ended_is_told_by_the_limit(load, query, warehouse, monkeypatch):
    monkeypatch.setitem(session._NEWER, "transaction_timeout", "100ms")
    holder = warehouse.connect()
    holder.cursor().execute("LOCK TABLE etl.load_ledger IN SHARE MODE")

    with pytest.raises(RetriableError, match=r"ended the session by its limit transaction_timeout .*raise that limit for user owner"):
        load()

    holder.close()
    monkeypatch.undo()
    load()
    assert query(COUNTS) == [(3, 365, 2)]


@goes_on_from("one_order")
def test_facts_beside_a_lost_ledger_are_never_loaded_again(load, query):
    query("DELETE FROM etl.load_ledger")

    with pytest.raises(FatalError, match=r"restore the ledger, or .*scripts/totesys backfill"):
        load()

    assert query("SELECT count(*) FROM fact_sales_order") == [(1,)]


def test_a_warehouse_that_is_down_may_be_up_at_the_next_run(new_job, warehouse):
    port = free_port()

    with pytest.raises(RetriableError, match=rf"warehouse {warehouse.dbname} on 127.0.0.1:{port} cannot be reached .*start it"):
        new_job(replace(warehouse.credentials, port=port)).run()


def test_a_wrong_password_needs_a_person_and_is_not_repeated(new_job, warehouse):
    with pytest.raises(FatalError, match=r"refuses user owner .*correct the warehouse's secret") as raised:
        new_job(replace(warehouse.credentials, password="wrong-password-1")).run()

    assert "wrong-password-1" not in str(raised.value)


def test_a_database_that_does_not_exist_needs_a_person(new_job, warehouse):
    with pytest.raises(FatalError, match='database "nowhere" does not exist'):
        new_job(replace(warehouse.credentials, dbname="nowhere")).run()


def test_a_role_without_rights_needs_a_person(new_job, warehouse, query):
    query("CREATE ROLE load_without_rights LOGIN PASSWORD 'secret'")
    try:
        with pytest.raises(FatalError, match=r"forbids user load_without_rights .*permission denied for database"):
            new_job(replace(warehouse.credentials, username="load_without_rights", password="secret")).run()
    finally:
        query("DROP ROLE load_without_rights")


def test_a_missing_bucket_needs_a_person(new_job, lake):
    with pytest.raises(FatalError, match=r"s3://nowhere.*NoSuchBucket"):
        replace(new_job(), processed=Bucket(lake.bucket.client, "nowhere")).run()


@goes_on_from("loaded_once")
def test_a_load_that_waits_in_vain_for_the_ledger_gives_up(load, query, warehouse, monkeypatch):
    monkeypatch.setitem(SESSION, "lock_timeout", "100ms")
    holder = warehouse.connect()
    holder.cursor().execute("LOCK TABLE etl.load_ledger IN SHARE MODE")

    with pytest.raises(RetriableError, match=r"did not grant a lock in time .*lock timeout"):
        load()

    holder.close()
    load()
    assert query(COUNTS) == [(3, 365, 2)]
