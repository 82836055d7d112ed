"""When a table is read in full, and when nothing is read at all: pure decisions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from totesys.contracts import Contract, load_contracts
from totesys.ingest.capture import FARTHEST, Draft, behind_reason, full_wanted_reason, no_delta_reason
from totesys.ingest.drift import LiveTable
from totesys.ingest.source import Snapshot
from totesys.lake.manifests import BatchManifest, SourceIdentity, TableCapture
from totesys.runtime.run_request import RunRequest

CONTRACT = load_contracts().source["design"]
IDENTITY = SourceIdentity("7", 1, 16384)
BEFORE = TableCapture(
    mode="delta", contract_version=CONTRACT.version, table_oid=99, capture_xmin=5 * 2**32 + 10,
    captured_at="2024-01-05T09:00:00.000000+00:00",
    previous_at=None, full_at="2024-01-05T08:00:00.000000+00:00", rows=0, row_count=3, key_set="k", seen=None,
)  # fmt: skip
PREVIOUS = BatchManifest(4, "b", "", "", BEFORE.captured_at, IDENTITY, 4, 3, {"design": BEFORE}, snapshot_lsn=1000)
NOW = Snapshot(
    f"{BEFORE.capture_xmin}:{BEFORE.capture_xmin}:", "2024-01-05T09:05:00.000000+00:00", IDENTITY, lsn_before=1000, lsn_after=1040
)
DRAFT = Draft("a", "", NOW, PREVIOUS, RunRequest())


def at(**changes: Any) -> Draft:
    return replace(DRAFT, snapshot=replace(NOW, **changes))


def full_reason(draft: Draft, contract: Contract, oid: int) -> str | None:
    live = LiveTable(oid, "r", False, {}, ("design_id",))
    before = draft.before("design")
    return no_delta_reason(draft, contract, live) or (full_wanted_reason(draft, "design", before) if before else None)


def test_a_table_that_the_previous_batch_read_gets_a_delta() -> None:
    assert full_reason(DRAFT, CONTRACT, 99) is None


@pytest.mark.parametrize(
    ("draft", "oid", "reason"),
    [
        (replace(DRAFT, previous=None), 99, "first read"),
        (replace(DRAFT, previous=replace(PREVIOUS, tables={})), 99, "first read"),
        (replace(DRAFT, request=RunRequest(full=True)), 99, "requested"),
        (DRAFT, 100, "not the table of the previous batch"),
        (at(identity=replace(IDENTITY, system_identifier="8")), 99, "not the table of the previous batch"),
        (at(text=f"{BEFORE.capture_xmin - 1}:{BEFORE.capture_xmin}:"), 99, "too far from the previous snapshot"),
        (at(text=f"{BEFORE.capture_xmin}:{BEFORE.capture_xmin + FARTHEST}:"), 99, "too far from the previous snapshot"),
        (at(lsn_before=999), 99, "older than the previous batch"),
        (at(taken_at="2024-01-06T08:00:00.000000+00:00"), 99, "a day since the last"),
        (at(taken_at="2024-01-05T07:59:59.000000+00:00"), 99, "a day since the last"),
    ],
)
def test_a_table_is_read_in_full_when_a_delta_would_not_be_exact(draft: Draft, oid: int, reason: str) -> None:
    assert full_reason(draft, CONTRACT, oid) == reason


def test_a_new_version_of_the_contract_reads_the_table_in_full() -> None:
    assert full_reason(DRAFT, replace(CONTRACT, version=CONTRACT.version + 1), 99) == "new contract version"


def test_transaction_ids_are_compared_with_all_their_64_bits() -> None:
    one_turn_later = BEFORE.capture_xmin + 2**32
    assert full_reason(at(text=f"{one_turn_later}:{one_turn_later}:"), CONTRACT, 99) == "too far from the previous snapshot"


@pytest.mark.parametrize(
    ("draft", "reason"),
    [
        (DRAFT, None),
        (at(lsn_before=999), "its log is 1 bytes behind where batch 4 read it"),
        (
            at(lsn_before=999, text=f"{BEFORE.capture_xmin + 9}:{BEFORE.capture_xmin + 9}:"),
            "its log is 1 bytes behind where batch 4 read it",
        ),
        (at(identity=replace(IDENTITY, timeline=2), lsn_before=1), None),
        (
            replace(DRAFT, previous=replace(PREVIOUS, source=replace(IDENTITY, timeline=3))),
            "it is on timeline 1, and batch 4 read timeline 3",
        ),
        (at(identity=replace(IDENTITY, system_identifier="8"), lsn_before=1), None),
        (at(identity=replace(IDENTITY, database_oid=1), lsn_before=1), None),
        (replace(at(lsn_before=1), previous=None), None),
    ],
)
def test_a_source_is_behind_when_its_log_or_its_timeline_is(draft: Draft, reason: str | None) -> None:
    assert behind_reason(draft) == reason
