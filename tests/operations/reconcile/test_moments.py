"""A comparison says of which moment of the source the warehouse is, and when the two last agreed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import boto3
import pytest
from moto import mock_aws
from totesys.lake.manifests import BatchManifest, Held, SourceIdentity, TableCapture, commit
from totesys.lake.store import Bucket

from operations.cli.reconcile import print_comparison
from operations.reconcile.comparison import Comparison
from operations.reconcile.moments import WarehouseState, describe_agreement, describe_moment, read_moment, read_warehouse_state, record
from operations.reconcile.result import TableComparison
from tests.operations.reconcile.conftest import Pair

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=timezone.utc)


@pytest.fixture
def ingestion() -> Iterator[Bucket]:
    with mock_aws():
        client = boto3.client("s3", "us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
        client.create_bucket(Bucket="ingestion")
        yield Bucket(client, "ingestion")


def land(ingestion: Bucket, *batches: bool, hold: str | None = None) -> None:
    """Commits a batch every five minutes from 9 o'clock on; True: with rows. The last one holds a table as of the first."""
    data_seq = 0
    for seq, has_rows in enumerate(batches, start=1):
        previous, data_seq = data_seq, seq if has_rows else data_seq
        held = {"payment": Held("deletes", hold, "", at(1), 7, 1, 1, 1)} if hold and seq == len(batches) else {}
        tables = dict.fromkeys(held, TableCapture("delta", 1, 1, 1, at(1), None, at(1), 0, 1, "_keys/payment/1.roaring", None))
        identity = SourceIdentity("1", 1, 1)
        commit(ingestion, BatchManifest(seq, str(seq), at(seq), "1:1:", at(seq), identity, data_seq, previous, tables, held=held))


def at(seq: int) -> str:
    return (datetime(2026, 3, 2, 8, 55) + timedelta(minutes=5 * seq)).isoformat(timespec="microseconds") + "+00:00"


def test_the_warehouse_is_of_the_newest_batch_in_it(ingestion: Bucket) -> None:
    land(ingestion, True, True, True)
    held = read_moment(ingestion, through_batch_seq=2)
    assert describe_moment(held, NOON) == "the warehouse holds the source as of 2026-03-02 09:05:00 UTC, 3 hours ago (batch 2)"


def test_batches_without_rows_move_the_moment_on(ingestion: Bucket) -> None:
    land(ingestion, True, False, False)
    held = read_moment(ingestion, through_batch_seq=1)
    assert describe_moment(held, NOON) == "the warehouse holds the source as of 2026-03-02 09:10:00 UTC, 3 hours ago (batch 3)"


def test_batches_without_rows_move_the_moment_on_until_the_first_that_waits(ingestion: Bucket) -> None:
    land(ingestion, True, False, False, True, False)
    held = read_moment(ingestion, through_batch_seq=1)
    assert held and held.batch_seq == 3


def test_a_held_table_is_of_an_earlier_moment(ingestion: Bucket) -> None:
    land(ingestion, True, True, hold="it would lose more than a fifth of its rows")
    assert describe_moment(read_moment(ingestion, through_batch_seq=2), NOON) == (
        "the warehouse holds the source as of 2026-03-02 09:05:00 UTC, 3 hours ago (batch 2);"
        " payment, which is held, as of 2026-03-02 09:00:00 UTC, 3 hours ago"
    )


def test_an_empty_warehouse_holds_nothing_whatever_has_landed(ingestion: Bucket) -> None:
    land(ingestion, True)
    assert describe_moment(read_moment(ingestion, through_batch_seq=0), NOON) == "the warehouse holds nothing of the source yet"


def test_a_clock_that_is_ahead_of_ours_makes_no_future(ingestion: Bucket) -> None:
    land(ingestion, True)
    held = read_moment(ingestion, through_batch_seq=1)
    assert "09:00:00 UTC, 1 second ago" in describe_moment(held, datetime(2026, 3, 2, 8, 59, 58, tzinfo=timezone.utc))


def test_what_a_comparison_found_is_read_by_the_next(agreeing: Pair) -> None:
    for load_seq, through_batch_seq in ((9, 12), (10, 14)):
        agreeing.in_warehouse(
            f"INSERT INTO etl.load_ledger VALUES ({load_seq}, 3, 'a', 'o', 1, {through_batch_seq}, now(), '{{}}', '{{}}')"
        )
    assert read_warehouse_state(agreeing.warehouse).agreed_at is None
    stale = TableComparison("dim_date")
    stale.add("missing", key="2024-02-29")
    record(agreeing.warehouse, WarehouseState(NOON - timedelta(hours=2), 12, None), [TableComparison("dim_staff")])
    record(agreeing.warehouse, WarehouseState(NOON - timedelta(hours=1), 14, None), [TableComparison("dim_staff"), stale])
    found = read_warehouse_state(agreeing.warehouse)
    assert (found.through_batch_seq, found.agreed_at) == (14, NOON - timedelta(hours=2))


@pytest.mark.parametrize(
    ("agreed_at", "agrees", "line"),
    [
        (NOON - timedelta(hours=2), False, "last agreed: 2026-03-02 10:00:00 UTC, 2 hours ago"),
        (NOON - timedelta(days=3), True, "last agreed: now; before that: 2026-02-27 12:00:00 UTC, 3 days ago"),
        (None, False, "last agreed: never before"),
        (None, True, "last agreed: now; before that: never before"),
    ],
)
def test_the_last_agreement_is_told_with_its_age(agreed_at: datetime | None, agrees: bool, line: str) -> None:
    assert describe_agreement(WarehouseState(NOON, 12, agreed_at), agrees) == line


def test_the_verdict_is_followed_by_the_moments_it_speaks_of(capsys: pytest.CaptureFixture[str]) -> None:
    stale = TableComparison("fact_payment", source_rows=30, warehouse_rows=30)
    for key in range(30):
        stale.add("stale", key=key, detail="paid: source 'true', warehouse 'false'")
    stale.add("extra", key=99)
    print_comparison(Comparison([stale, TableComparison("dim_staff", 1, 1)], None, WarehouseState(NOON, 0, None)))
    printed = capsys.readouterr().out.splitlines()
    assert printed[-6:] == [
        "  fact_payment 19: stale (paid: source 'true', warehouse 'false')",
        "  fact_payment 99: extra",
        "  fact_payment: 10 more stale",
        "warehouse does not match source: 1 of 2 tables",
        "the warehouse holds nothing of the source yet",
        "last agreed: never before",
    ]
