"""A batch that would delete more than a fifth of a table: the table waits for a person, or for its rows."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from totesys.errors import RetriableError
from totesys.ingest import job
from totesys.ingest.keys import load_keys
from totesys.ingest.source import Source
from totesys.lake.store import AlreadyThereError
from totesys.runtime.run_request import RunRequest

from tests.ingest.designs import delete, insert, rename, transaction

ALL = list(range(1, 11))
CURRENCY = "INSERT INTO currency (currency_id, currency_code, created_at, last_updated) VALUES ({}, 'GBP', '2024-01-05', '2024-01-05')"
ALERT = ("table held", "design")


@pytest.fixture
def ten(ingest: Any) -> Any:
    """Ingest of designs and currencies, with designs 1 to 10 read already."""
    ingest.only("design", "currency").execute(insert(*ALL))
    assert ingest.keys(ingest.tick(), "design") == ALL
    return ingest


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tables that are read, as it goes on."""
    tables: list[str] = []
    copy = Source.copy

    def noted(self: Source, contract: Any, *arguments: Any) -> None:
        tables.append(contract.table)
        copy(self, contract, *arguments)

    monkeypatch.setattr(Source, "copy", noted)
    return tables


def held(ten: Any) -> bool:
    return ten.newest().held.get("design") is not None


def known(ten: Any) -> list[int]:
    """The keys that the newest batch takes the table to hold."""
    return list(load_keys(ten.raw, ten.newest().tables["design"]))


def test_a_delete_of_more_than_a_fifth_holds_the_table_as_it_was_and_the_others_go_on(ten: Any) -> None:
    before = ten.newest().tables["design"]
    ten.execute(delete(1, 2, 3), rename(4, "Renamed"), CURRENCY.format(1))
    batch = ten.tick()
    assert ten.keys(batch, "currency") == [1]
    why = batch.held.get("design")
    assert why.reason == "at least 3 of 10 rows are gone from the source, more than a fifth"
    assert why.since == batch.snapshot_at
    assert batch.tables["design"] == replace(before, mode="delta", rows=0, files=())


def test_a_fifth_exactly_is_deleted_without_a_word(ten: Any) -> None:
    ten.execute(delete(1, 2))
    batch = ten.tick()
    assert (batch.held.get("design"), ten.keys(batch, "design"), known(ten)) == (None, ALL[2:], ALL[2:])


def test_an_emptied_table_is_held(ten: Any) -> None:
    ten.execute("TRUNCATE design CASCADE")
    batch = ten.tick()
    assert (held(ten), batch.has_rows, known(ten)) == (True, False, ALL)


def test_deletes_that_inserts_balance_are_held(ten: Any) -> None:
    ten.execute(delete(1, 2, 3), insert(11, 12, 13, 14))
    ten.tick()
    assert held(ten)
    assert ten.newest().tables["design"].row_count == 10


def test_deletes_are_held_in_a_demanded_full_read_too(ten: Any) -> None:
    ten.execute(delete(1, 2, 3))
    ten.tick(full=True)
    assert held(ten)


def test_one_alert_is_sent_for_as_long_as_a_table_is_held(ten: Any) -> None:
    ten.execute(delete(1, 2, 3))
    for statement in (CURRENCY.format(1), delete(4), rename(5, "Renamed"), CURRENCY.format(2)):
        ten.tick()
        ten.execute(statement)
    ten.tick(full=True)
    assert held(ten)
    assert ten.alerts() == [ALERT]
    ten.tick(accept_deletes=["design"])
    ten.execute(delete(6, 7, 8))
    ten.tick()
    assert ten.alerts() == [ALERT]


def test_a_held_table_is_not_read_again_while_nothing_moves(ten: Any, reads: list[str]) -> None:
    ten.execute(delete(1, 2, 3))
    ten.tick()
    del reads[:]
    since = ten.newest().held.get("design")
    ten.tick()
    ten.execute(CURRENCY.format(1))
    ten.tick()
    assert reads == ["currency"]
    assert ten.newest().held.get("design") == since


def test_a_table_held_by_a_new_version_of_its_contract_is_not_read_again_either(ten: Any, reads: list[str]) -> None:
    ten.execute(delete(1, 2, 3))
    ten.tick()
    design = ten.contracts["design"]
    ten.contracts["design"] = replace(design, version=design.version + 1)
    ten.tick()
    del reads[:]
    ten.tick()
    assert (held(ten), reads) == (True, [])
    ten.execute(insert(1, 2, 3))
    assert ten.keys(ten.tick(), "design") == ALL


def test_a_further_change_of_a_held_table_is_judged_again(ten: Any, reads: list[str]) -> None:
    ten.execute(delete(1, 2, 3))
    first = ten.tick().held.get("design")
    ten.execute(delete(4))
    del reads[:]
    second = ten.tick().held.get("design")
    assert reads == ["design"]
    assert second.reason == "at least 4 of 10 rows are gone from the source, more than a fifth"
    assert (second.since, second.judged_rows) == (first.since, 6)


def test_rows_that_come_back_release_the_table_and_nothing_is_lost(ten: Any) -> None:
    ten.execute(delete(1, 2, 3), rename(4, "Renamed while held"))
    ten.tick()
    ten.execute(insert(11))
    ten.tick()
    assert held(ten)
    ten.execute(insert(1, 2, 3))
    batch = ten.tick()
    assert not held(ten)
    assert (batch.tables["design"].mode, ten.keys(batch, "design"), known(ten)) == ("full", [*ALL, 11], [*ALL, 11])
    assert ten.rows(batch, "design")[3]["design_name"] == "Renamed while held"
    ten.execute(insert(12))
    assert ten.keys(ten.tick(), "design") == [12]


def test_a_transaction_that_was_open_over_the_hold_is_lost_neither(ten: Any) -> None:
    with transaction(ten.source) as early:
        early.execute(insert(11))
        ten.execute(insert(12))
        assert ten.keys(ten.tick(), "design") == [12]
        ten.execute(delete(1, 2, 3))
        ten.tick()
        assert held(ten)
    ten.execute(insert(1, 2, 3))
    assert ten.keys(ten.tick(), "design") == [*ALL, 11, 12]
    assert ten.keys(ten.tick(), "design") == []


def test_a_persons_word_releases_the_table_in_that_run(ten: Any) -> None:
    ten.execute(delete(1, 2, 3), insert(11))
    ten.tick()
    batch = ten.tick(accept_deletes=["design"])
    left = [*ALL[3:], 11]
    assert (held(ten), batch.tables["design"].mode, ten.keys(batch, "design"), known(ten)) == (False, "full", left, left)
    assert batch.tables["design"].since_xmin is None
    assert ten.keys(ten.tick(), "design") == []


def test_a_word_for_another_table_releases_nothing(ten: Any) -> None:
    ten.execute(delete(1, 2, 3))
    ten.tick(accept_deletes=["currency"])
    assert held(ten)


def test_a_full_demanded_of_a_held_table_does_not_release_it(ten: Any) -> None:
    ten.execute(delete(1, 2, 3))
    ten.tick()
    ten.tick(full=True)
    assert (held(ten), known(ten)) == (True, ALL)


def test_a_held_table_stays_held_on_a_restored_server_until_its_rows_are_there(ten: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ten.execute(delete(1, 2, 3))
    ten.tick()
    elsewhere = replace(ten.newest().source, system_identifier="another")
    monkeypatch.setattr(job, "newest_batch", lambda _: replace(ten.newest(), source=elsewhere))
    ten.tick()
    monkeypatch.undo()
    assert held(ten)
    ten.tick()
    assert held(ten)
    assert ten.alerts() == [ALERT]
    ten.execute(insert(1, 2, 3))
    assert ten.keys(ten.tick(), "design") == ALL


def test_who_loses_the_race_tries_again_until_what_was_asked_is_done(ten: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ten.execute(delete(1, 2, 3))
    commit = job.commit

    def commit_after_another(bucket: Any, batch: Any) -> None:
        monkeypatch.setattr(job, "commit", commit)
        ten.tick()
        commit(bucket, batch)

    monkeypatch.setattr(job, "commit", commit_after_another)
    batch = ten.tick(accept_deletes=["design"])
    assert (batch.seq, held(ten), ten.keys(batch, "design")) == (3, False, ALL[3:])


def test_who_loses_every_race_says_that_the_demand_is_not_done(ten: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def lose(*_: object) -> None:
        raise AlreadyThereError

    monkeypatch.setattr(job, "commit", lose)
    with pytest.raises(RetriableError, match="this run's request was not carried out: start the run again"):
        job.run(ten.arguments, ten.clients, ten.contracts, RunRequest(full=True))


def test_an_alert_says_what_happened_and_what_to_do_and_no_value(ten: Any) -> None:
    ten.execute(delete(1, 2, 3))
    ten.tick()
    message = ten.sqs.receive_message(QueueUrl=ten.queues["alerts"])["Messages"][0]
    text = json.loads(message["Body"])["detail"]["text"]
    assert "design: at least 3 of 10 rows are gone from the source" in text
    assert "scripts/totesys run --accept-deletes design" in text
    assert "Design 1" not in text
