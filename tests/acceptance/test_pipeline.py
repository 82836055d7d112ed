"""What is promised, seen from outside: through the scripts, on a deployed stack, from the source to the warehouse."""

from __future__ import annotations

import re
from contextlib import closing
from datetime import date, time
from decimal import Decimal

import pytest

from tests.acceptance.conftest import FACTS, Done, KeptOutRows, Orders, Resumed, Round, RunningStack


@pytest.mark.parametrize(
    ("broken", "reason", "what_to_do"),
    [
        ("source down", r"RetriableError: totesys \(totesys on 127\.0\.0\.1:\d+\) cannot be reached", "check that it runs"),
        (
            "wrong password",
            r"FatalError: totesys \(totesys on 127\.0\.0\.1:\d+\) refuses user totesys_ingest",
            "correct the source's secret",
        ),
    ],
)
def test_a_broken_part_gives_a_failed_job_with_one_line_about_what_to_do(
    failures: dict[str, Done], broken: str, reason: str, what_to_do: str
) -> None:
    done = failures[broken]
    assert done.code == 1
    assert re.fullmatch(f"run: failed: totesys-ingest FAILED: {reason}.*{what_to_do}.*\n", done.err), done.err


def test_the_status_says_that_the_last_runs_failed_and_why(failures: dict[str, Done]) -> None:
    done = failures["status"]
    assert done.code == 1
    last = r"^needs a person: totesys-ingest FAILED, \d+ seconds? ago, as in each of its last 2 runs"
    wanted = f"{last}: FatalError: .*correct the source's secret"
    assert re.search(wanted, done.out, re.MULTILINE), done.out


def test_a_missing_bucket_is_named_before_anything_is_started(failures: dict[str, Done]) -> None:
    done = failures["bucket missing"]
    assert done.code == 2
    assert re.fullmatch(
        r"run: could not start: .* s3://totesys-ingestion-\S+ was refused \(NoSuchBucket\).*scripts/deploy\.sh.*\n", done.err
    )


def test_a_comparison_with_a_warehouse_that_has_no_tables_says_what_to_do(failures: dict[str, Done]) -> None:
    done = failures["nothing loaded"]
    assert done.code == 2
    place, reason = r"warehouse warehouse on 127\.0\.0\.1:\d+", r'relation "etl\.tombstone" does not exist'
    wanted = rf"reconcile: could not start: {place} refuses a statement \({reason}, SQLSTATE 42P01\): run scripts/totesys run first\n"
    assert re.fullmatch(wanted, done.err), done.err


def test_the_first_run_after_failures_brings_everything_in(stack: RunningStack, first: Round) -> None:
    assert first.run.code == 0, first.run.err
    assert "loaded batch 1:" in first.run.out
    sales, purchases, payments = (len(first.facts[fact]) for fact in FACTS)
    assert (sales + purchases, payments) == (800, 800)
    assert first.reconciled.code == 0, first.reconciled.out


def test_awkward_values_arrive_exactly(stack: RunningStack, first: Round) -> None:
    assert stack.rows("SELECT first_name, last_name, location FROM dim_staff WHERE staff_id = 1") == [("Christy", "O'Hara", "")]
    address = ('O\'Keefe "Row", \\n 1', None, "", "08841", "Democratic People's Republic of Korea")
    columns = "address_line_1, address_line_2, district, postal_code, country"
    assert stack.rows(f"SELECT {columns} FROM dim_location WHERE location_id = 1") == [address]
    name = stack.rows("SELECT counterparty_legal_name FROM dim_counterparty WHERE counterparty_id = 1")
    assert name == [("Frami, Yundt and Macejkovic",)]
    columns = "created_date, created_time, units_sold, unit_price, agreed_delivery_date"
    assert stack.rows(f"SELECT {columns} FROM fact_sales_order WHERE sales_order_id = 1") == [
        (date(2024, 2, 29), time(23, 59, 59, 999000), 2147483647, Decimal("99999999.99"), date(2028, 2, 29))
    ]


def test_an_uncommitted_change_is_not_in_the_run_that_it_was_open_in(first: Round, orders: Orders) -> None:
    assert len(first.versions("fact_sales_order", orders.late)) == 1
    assert len(first.versions("fact_sales_order", orders.late_under_savepoint)) == 1


@pytest.mark.parametrize("workflow", ["totesys-ingest", "totesys-publish"])
def test_the_graph_of_a_workflow_run_has_nodes_and_edges(stack: RunningStack, first: Round, workflow: str) -> None:
    glue = stack.client("glue")
    run_id = glue.get_workflow_runs(Name=workflow)["Runs"][0]["WorkflowRunId"]
    graph = glue.get_workflow_run(Name=workflow, RunId=run_id, IncludeGraph=True)["Run"]["Graph"]
    assert {node["Type"] for node in graph["Nodes"]} == {"TRIGGER", "JOB"}
    assert graph["Edges"]


def test_a_warehouse_that_is_down_gives_a_failed_load_with_one_line_about_what_to_do(without_warehouse: Done) -> None:
    assert without_warehouse.code == 1
    line = r"run: failed: totesys-load FAILED: RetriableError: warehouse warehouse on 127\.0\.0\.1:\d+ .+: .+\n"
    assert re.fullmatch(line, without_warehouse.err), without_warehouse.err


def test_the_run_after_a_failure_brings_in_what_waits_and_leaves_source_and_warehouse_equal(second: Round) -> None:
    assert second.run.code == 0, second.run.err
    assert second.reconciled.code == 0, second.reconciled.out
    assert "warehouse matches source: 11 of 11 tables\n" in second.reconciled.out


def test_an_order_updated_twice_between_runs_gives_one_more_version(second: Round, orders: Orders) -> None:
    assert len(second.versions("fact_sales_order", orders.updated)) == 2


def test_a_touch_gives_no_version(second: Round, orders: Orders) -> None:
    assert len(second.versions("fact_sales_order", orders.touched)) == 1


def test_a_silent_edit_arrives(second: Round, orders: Orders) -> None:
    before, after = second.versions("fact_sales_order", orders.silent)
    assert before[4:6] == after[4:6], "last_updated stayed as it was"
    assert date(2027, 12, 31) in after


def test_a_deleted_payment_stays_in_the_warehouse_and_is_no_difference(stack: RunningStack, second: Round) -> None:
    ((kept,),) = stack.rows("SELECT max(payment_id) FROM fact_payment")
    assert stack.rows(f"SELECT * FROM payment WHERE payment_id = {kept}", "source") == []
    (line,) = (line for line in second.reconciled.out.splitlines() if "fact_payment " in line)
    assert line.split() == ["fact_payment", "799", "800", "1", "0"]


@pytest.mark.parametrize("how", ["late", "late_under_savepoint"])
def test_a_late_commit_is_in_the_next_run(second: Round, orders: Orders, how: str) -> None:
    assert len(second.versions("fact_sales_order", getattr(orders, how))) == 2


def test_a_quiet_tick_starts_no_spark_and_is_short(second: Round, quiet: Round) -> None:
    assert quiet.run.code == 0
    assert quiet.run.out.endswith("nothing new: the warehouse holds every batch\n")
    assert quiet.reconciled.code == 0, quiet.reconciled.out
    assert quiet.job_runs == {**second.job_runs, "ingest": second.job_runs["ingest"] + 1}
    assert quiet.run.seconds < 15, "2 to 3 s on an idle machine: the limit leaves room for a busy one"


def test_a_run_that_was_killed_is_resumed_during_a_deploy_and_everything_arrives_once(resumed: Resumed, orders: Orders) -> None:
    assert resumed.killed.code == 1 and "totesys-transform FAILED" in resumed.killed.err
    assert resumed.deployed.code == 0, resumed.deployed.err
    assert resumed.status == "COMPLETED"
    assert "nothing new" in resumed.after.run.out
    assert len(resumed.after.versions("fact_sales_order", orders.updated)) == 3, "updated again after a run: another version"
    assert resumed.after.reconciled.code == 0, resumed.after.reconciled.out


def test_the_processed_bucket_and_the_warehouse_are_rebuilt_from_landed_batches(resumed: Resumed, rebuilt: Round) -> None:
    assert rebuilt.run.code == 0, rebuilt.run.err
    assert rebuilt.reconciled.code == 0, rebuilt.reconciled.out
    for fact in FACTS:
        assert sorted(row[1:] for row in rebuilt.facts[fact]) == sorted(row[1:] for row in resumed.after.facts[fact])


@pytest.mark.parametrize("script", ["psql", "totesys query"])
def test_the_current_state_leaves_out_what_was_deleted(stack: RunningStack, rebuilt: Round, script: str) -> None:
    statement = "SELECT count(*), count(DISTINCT payment_id), max(payment_id) FROM current_payment"
    newest = stack.rows("SELECT max(payment_id) FROM payment", "source")[0][0]
    if script == "psql":
        assert stack.rows(statement) == [(799, 799, newest)]
    else:
        assert stack.totesys("query", statement).out.split()[-5:] == ["799", "799", str(newest), "1", "row"]


def test_versions_once_loaded_never_change(first: Round, second: Round, resumed: Resumed) -> None:
    for fact in FACTS:
        assert second.facts[fact][: len(first.facts[fact])] == first.facts[fact]
        assert resumed.after.facts[fact][: len(second.facts[fact])] == second.facts[fact]


def test_a_late_commit_is_in_one_batch_only(stack: RunningStack, second: Round, orders: Orders) -> None:
    keys = f"{orders.late}, {orders.late_under_savepoint}"
    statement = f"SELECT sales_order_id, count(*) AS landed FROM sales_order WHERE sales_order_id IN ({keys}) GROUP BY 1 ORDER BY 1"
    answer = stack.totesys("query", "--database", "ingestion", statement).out.split()
    assert answer[-6:] == [str(orders.late), "2", str(orders.late_under_savepoint), "2", "2", "rows"]


def test_a_query_joins_the_processed_tables(stack: RunningStack, second: Round) -> None:
    statement = (
        "SELECT s.last_name, l.address_line_2, f.unit_price FROM fact_sales_order f"
        " JOIN dim_staff s ON s.staff_id = 1 JOIN dim_location l ON l.location_id = 1 WHERE f.sales_order_id = 1"
    )
    answer = stack.totesys("query", statement)
    assert answer.code == 0, answer.err
    assert "O'Hara" in answer.out
    assert "NULL" in answer.out
    assert "99999999.99" in answer.out


def test_a_query_that_athena_refuses_says_why(stack: RunningStack, first: Round) -> None:
    answer = stack.totesys("query", "SELECT nothing_of_the_kind FROM dim_staff")
    assert answer.code == 1
    assert "nothing_of_the_kind" in answer.err


def test_a_difference_in_the_warehouse_is_found_by_reconcile(stack: RunningStack, second: Round) -> None:
    with closing(stack.connect("warehouse")) as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE dim_staff SET last_name = 'OHara' WHERE staff_id = 1")
        try:
            done = stack.totesys("reconcile")
        finally:
            cursor.execute("UPDATE dim_staff SET last_name = 'O''Hara' WHERE staff_id = 1")
    assert done.code == 1
    assert "dim_staff 1: stale (last_name: source \"O'Hara\", warehouse 'OHara')" in done.out
    assert "warehouse does not match source: 10 of 11 tables\n" in done.out


def test_a_run_that_cannot_start_says_so(stack: RunningStack) -> None:
    elsewhere = RunningStack(stack.folder, {**stack.environment, "TOTESYS_PROJECT": "nowhere"})
    done = elsewhere.totesys("run")
    assert done.code == 2
    assert done.err == "run: could not start: stack nowhere-storage is not deployed in eu-west-2: run scripts/deploy.sh\n"


def test_bad_rows_and_a_changed_table_stay_out_and_everything_else_goes_in(kept_out: KeptOutRows, rebuilt: Round, orders: Orders) -> None:
    run, order = kept_out.after.run, ("fact_sales_order", orders.updated)
    assert run.code == 0, run.err
    assert len(kept_out.after.versions(*order)) == len(rebuilt.versions(*order)) + 1
    assert run.err == "run: needs a person: design is held; payment: rows in the dead letter\n"
    assert "2 rows break the contract and are kept out, all others flow on: scripts/totesys deadletters show payment" in run.out


def test_a_comparison_names_what_is_kept_out_as_what_it_is(kept_out: KeptOutRows) -> None:
    out = kept_out.after.reconciled.out
    assert kept_out.after.reconciled.code == 1
    key = kept_out.payment
    assert f"fact_payment {key}: dead letter (payment {key}: payment_date is not a date (YYYY-MM-DD))" in out
    assert re.search(r"dim_design: held \(not compared; design is held since ", out), out
    assert "warehouse does not match source: 9 of 11 tables" in out


def test_what_is_kept_out_is_listed_shown_and_discarded(kept_out: KeptOutRows) -> None:
    listed = kept_out.listed
    assert listed.code == 0, listed.err
    assert re.search(r"design +held since .*\(column_renamed\).*scripts/totesys schema propose design", listed.out), listed.out
    assert re.search(r"payment +2 rows: payment_date is not a date", listed.out), listed.out
    assert kept_out.shown.out.startswith(f"payment {kept_out.payment}: payment_date is not a date (YYYY-MM-DD)\n")
    assert '"payment_date": "2024-02-30"' in kept_out.shown.out
    assert re.match(rf"payment {kept_out.payment} is discarded by arn:aws:\S+ at \S+: a test\n", kept_out.discarded.out), (
        kept_out.discarded.err
    )


def test_what_was_put_right_comes_in_and_nothing_is_kept_out(kept_out: KeptOutRows) -> None:
    assert kept_out.replayed.code == 0, kept_out.replayed.err
    assert kept_out.replayed.out.endswith("payment: 1 row of 1 out of the dead letter, 0 in it now\n")
    assert kept_out.reconciled.code == 0, kept_out.reconciled.out
    assert kept_out.listed_after.out == "nothing is kept out\n"
