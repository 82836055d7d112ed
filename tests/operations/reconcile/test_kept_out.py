"""A difference whose cause is that ingest keeps rows out is named for it: a table that is held, a row that is a dead letter."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone

import boto3
import psycopg2
import pytest
from moto import mock_aws
from totesys.lake.manifests import BatchManifest, DeadLetters, Held, SourceIdentity, TableCapture, commit
from totesys.lake.store import Bucket

from operations.cli.reconcile import print_comparison
from operations.reconcile.comparison import Comparison
from operations.reconcile.kept_out import KeptOut, read_kept_out
from operations.reconcile.moments import WarehouseState
from tests.operations.reconcile.conftest import Pair, without_triggers
from tests.support.open_letters import parquet

NO_DATE = "payment_date is not a date (YYYY-MM-DD)"
SINCE = "2024-03-02T08:00:00+00:00"
HELD = Held("drift", "design.file_name: expected text, found no such column (column_dropped)", "", SINCE, 7, -1, 1, 1)

DAMAGED = """
ALTER TABLE design RENAME TO designs;
CREATE FUNCTION damaged(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'missing chunk' USING ERRCODE = 'XX001'; END $$;
CREATE VIEW design AS SELECT design_id, damaged(design_name) AS design_name, file_location, file_name FROM designs
"""


def keeping_out(**letters: dict[int, str]) -> KeptOut:
    return KeptOut(letters=letters)


def test_a_known_row_that_became_bad_is_a_dead_letter_with_its_reason(agreeing: Pair) -> None:
    agreeing.at_source("UPDATE payment SET payment_date = '2024-02-30'")
    assert agreeing.differences(keeping_out(payment={1: NO_DATE})) == [f"fact_payment 1: dead letter (payment 1: {NO_DATE})"]


def test_a_new_row_that_is_bad_is_a_dead_letter_with_its_reason(agreeing: Pair) -> None:
    agreeing.in_warehouse("DELETE FROM fact_payment")
    assert agreeing.differences(keeping_out(payment={1: NO_DATE})) == [f"fact_payment 1: dead letter (payment 1: {NO_DATE})"]


def test_a_row_that_was_deleted_and_came_back_bad_is_a_dead_letter(agreeing: Pair) -> None:
    agreeing.tombstone("payment", 1)
    assert agreeing.differences(keeping_out(payment={1: NO_DATE})) == [f"fact_payment 1: dead letter (payment 1: {NO_DATE})"]


def test_a_dimension_lacks_what_a_dead_letter_of_its_other_table_would_bring(agreeing: Pair) -> None:
    agreeing.at_source("UPDATE staff SET department_id = 2 WHERE staff_id = 1")
    reason = "created_at is outside 1990-01-01 to 2100-12-31"
    assert agreeing.differences(keeping_out(department={2: reason})) == [f"dim_staff 1: dead letter (department 2: {reason})"]


def test_a_row_that_is_no_dead_letter_is_what_it_was_beside_one_that_is(agreeing: Pair) -> None:
    agreeing.in_warehouse("DELETE FROM fact_sales_order WHERE sales_order_id = 25000")
    assert agreeing.differences(keeping_out(sales_order={1: "unit_price does not fit the contract's type"})) == [
        "fact_sales_order 25000: missing"
    ]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ("UPDATE design SET file_name = 'steel.json'", "stale"),
        ("INSERT INTO design SELECT 2, created_at, last_updated, design_name, file_location, file_name FROM design", "missing"),
        (without_triggers("DELETE FROM design"), "extra"),
    ],
)
def test_every_row_of_a_held_table_that_differs_is_held(agreeing: Pair, change: str, kind: str) -> None:
    agreeing.at_source(change)
    (difference,) = agreeing.differences(KeptOut(held={"design": HELD}))
    assert difference.split(": ", 1)[1] == f"held ({kind}; design is held since {SINCE})"


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE design RENAME file_name TO filename",
        "ALTER TABLE design RENAME TO designs",
        "ALTER TABLE design ALTER design_id TYPE text USING 'one'",
        DAMAGED,
    ],
)
def test_a_held_table_that_cannot_be_compared_any_more_is_held_and_the_others_are_compared(
    agreeing: Pair, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    agreeing.at_source(f"ALTER TABLE sales_order DROP CONSTRAINT sales_order_design_id_fkey; {change}")
    agreeing.at_source("UPDATE payment SET paid = true")
    comparisons = agreeing.comparisons(KeptOut(held={"design": HELD}))
    assert [str(difference) for comparison in comparisons.values() for difference in comparison.listed] == [
        f"dim_design: held (not compared; design is held since {SINCE})",
        "fact_payment 1: stale (paid: source 'true', warehouse 'false')",
    ]
    print_comparison(Comparison([comparisons["dim_design"]], None, WarehouseState(datetime(2026, 3, 2, 12, tzinfo=timezone.utc), 0, None)))
    assert capsys.readouterr().out.splitlines()[3].split() == ["dim_design", "held", "1", "0", "1"]


def test_a_table_that_is_not_held_and_cannot_be_read_ends_the_comparison(agreeing: Pair) -> None:
    agreeing.at_source("ALTER TABLE payment RENAME paid TO is_paid")
    with pytest.raises(psycopg2.errors.UndefinedColumn):
        agreeing.differences(KeptOut(held={"design": HELD}))


@pytest.fixture
def ingestion() -> Iterator[Bucket]:
    with mock_aws():
        client = boto3.client("s3", "us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
        client.create_bucket(Bucket="ingestion")
        yield Bucket(client, "ingestion")


def test_what_is_kept_out_is_what_the_newest_batch_says(ingestion: Bucket) -> None:
    assert read_kept_out(ingestion) == KeptOut()
    ingestion.put("_open/payment/1.parquet", parquet([(4, 900, 1, NO_DATE)]))
    payments = TableCapture("delta", 1, 1, 1, "", None, "", 0, 3, "", None, dead_letters=DeadLetters("_open/payment/1.parquet", 1, 0))
    identity = SourceIdentity("1", 1, 1)
    commit(ingestion, BatchManifest(1, "1", "", "1:1:", "", identity, 0, 0, {"payment": payments}, held={"design": HELD}))
    assert read_kept_out(ingestion) == KeptOut({"design": HELD}, {"payment": {4: NO_DATE}})
