"""The run around the capture: commit, races, crashes, the catalog and the announcement."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from totesys.ingest import job
from totesys.lake.manifests import newest_batch
from totesys.runtime.run_request import RunRequest

ADDRESS = (
    "INSERT INTO address (address_id, address_line_1, city, postal_code, country, phone, created_at, last_updated) "
    "VALUES ({}, 'Line', 'City', '08841', 'Country', '1', '2024-01-05', '2024-01-05')"
)
PUBLISH = "totesys-publish"


class CrashError(BaseException):
    """The end of the process, as far as the job can tell."""


def crash(*_: object) -> None:
    raise CrashError


def test_the_first_run_reads_every_table_and_a_quiet_one_lands_nothing(ingest: Any) -> None:
    ingest.execute(ADDRESS.format(1))
    first = ingest.tick()
    assert {capture.mode for capture in first.tables.values()} == {"full"}
    assert sorted(first.tables) == sorted(ingest.contracts)
    assert (first.seq, first.data_seq, first.tables["address"].rows) == (1, 1, 1)
    quiet = ingest.tick()
    assert (quiet.seq, quiet.data_seq, quiet.previous_data_seq) == (2, 1, 0)
    assert {(capture.mode, capture.rows, capture.files) for capture in quiet.tables.values()} == {("delta", 0, ())}
    assert quiet.tables["address"].previous_at == first.snapshot_at < quiet.tables["address"].captured_at == quiet.snapshot_at


def test_a_quiet_run_imports_no_arrow_and_needs_no_key_set(ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ingest.execute(ADDRESS.format(1))
    ingest.tick()
    monkeypatch.setitem(__import__("sys").modules, "totesys.ingest.table", None)
    assert ingest.tick().seq == 2


def test_batches_with_rows_are_chained_past_those_without(ingest: Any) -> None:
    ingest.only("address").execute(ADDRESS.format(1))
    ingest.tick()
    ingest.tick()
    ingest.execute(ADDRESS.format(2))
    batch = ingest.tick()
    assert (batch.seq, batch.data_seq, batch.previous_data_seq) == (3, 3, 1)
    quiet = ingest.tick()
    assert (quiet.seq, quiet.data_seq, quiet.previous_data_seq) == (4, 3, 1)


def test_an_empty_source_gives_a_batch_without_work(ingest: Any) -> None:
    batch = ingest.tick()
    assert (batch.seq, batch.data_seq) == (1, 0)
    assert ingest.announced() == []
    ingest.execute(ADDRESS.format(1))
    assert ingest.keys(ingest.tick(), "address") == [1]


def test_rows_are_queryable_through_a_partition_of_their_batch(ingest: Any) -> None:
    ingest.execute(ADDRESS.format(1))
    batch = ingest.tick()
    location = f"s3://raw/address/ingest_date={batch.ingest_date}/batch_id={batch.batch_id}/"
    assert ingest.partitions("address") == {(batch.ingest_date, batch.batch_id): location}
    assert batch.tables["address"].files[0].key == location[len("s3://raw/") :] + "00000.parquet"
    assert ingest.partitions("design") == {}


def test_nothing_is_announced_while_a_publish_runs(ingest: Any) -> None:
    ingest.only("address").execute(ADDRESS.format(1))
    ingest.clients.glue.start_workflow_run(Name=PUBLISH)
    ingest.tick()
    assert ingest.announced() == []


def test_of_two_ingests_at_once_one_commits_and_the_other_steps_back(ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ingest.only("address").execute(ADDRESS.format(1))
    winners = []

    def commit_after_another(bucket: Any, batch: Any) -> None:
        monkeypatch.undo()
        winners.append(ingest.tick())
        job.commit(bucket, batch)

    monkeypatch.setattr(job, "commit", commit_after_another)
    job.run(ingest.arguments, ingest.clients, ingest.contracts, RunRequest())
    assert ingest.newest() == winners[0]
    assert list(ingest.partitions("address")) == [(winners[0].ingest_date, winners[0].batch_id)]


def test_a_crash_before_the_manifest_leaves_nothing_that_is_read(ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ingest.only("address").execute(ADDRESS.format(1))
    with monkeypatch.context() as patch:
        patch.setattr(job, "commit", crash)
        with pytest.raises(CrashError):
            ingest.tick()
    assert newest_batch(ingest.raw) is None
    assert ingest.partitions("address") == {}
    assert ingest.keys(ingest.tick(), "address") == [1]


def test_a_crash_before_registration_is_healed_by_the_next_run(ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ingest.only("address").execute(ADDRESS.format(1))
    with monkeypatch.context() as patch:
        patch.setattr(job, "register_batch", crash)
        with pytest.raises(CrashError):
            ingest.tick()
    batch = ingest.newest()
    assert ingest.partitions("address") == {}
    ingest.tick()
    assert list(ingest.partitions("address")) == [(batch.ingest_date, batch.batch_id)]
    assert ingest.announced() == [1]


def test_another_identity_of_the_source_makes_saved_transactions_meaningless(ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ingest.only("address").execute(ADDRESS.format(1))
    first = ingest.tick()
    earlier = replace(first, source=replace(first.source, timeline=first.source.timeline - 1))
    monkeypatch.setattr(job, "newest_batch", lambda _: earlier)
    job.run(ingest.arguments, ingest.clients, ingest.contracts, RunRequest())
    assert ingest.newest().tables["address"].mode == "full"
