"""A backfill starts one publish run with its request, follows it, and says which tables it rebuilt."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.commands import Ended
from tests.support.glue import INGEST, FakeLake, Glue

Command = Callable[..., Ended]


@pytest.fixture
def loaded(lake: FakeLake) -> FakeLake:
    """A lake of two batches that the warehouse holds."""
    for seq in (1, 2):
        lake.land(seq)
        lake.load(seq)
    return lake


def test_all_is_rebuilt_unless_something_less_is_demanded(glue: Glue, loaded: FakeLake, command: Command) -> None:
    command("backfill")
    assert glue.started_with == [{"format": "1", "backfill": "true"}]


@pytest.mark.parametrize("table", ["sales_order", "fact_sales_order"])
def test_a_table_and_a_first_batch_go_with_the_run(glue: Glue, loaded: FakeLake, command: Command, table: str) -> None:
    command("backfill", "--table", table, "--from", "2")
    assert glue.started_with == [{"format": "1", "backfill": "true", "backfill_table": table, "backfill_from": "2"}]


def test_the_partitions_that_were_rebuilt_are_listed_with_their_rows(glue: Glue, loaded: FakeLake, command: Command) -> None:
    glue.on_publish = {"ends": lambda: loaded.publish(1, 2)}
    out = command("backfill").out
    assert [line.split() for line in out if "_order" in line] == [
        ["mirror", "sales_order", "1", "3"], ["star", "fact_sales_order", "1", "4"],
    ]  # fmt: skip
    assert out[-1] == "rebuilt from batches 1 to 2, and loaded: 7 rows in 2 tables"


def test_what_waited_and_is_published_beside_it_does_not_count_as_rebuilt(glue: Glue, loaded: FakeLake, command: Command) -> None:
    loaded.land(3)
    glue.on_publish = {"ends": lambda: (loaded.publish(2, through=2), loaded.publish(3))}
    assert command("backfill", "--from", "2").out[-1] == "rebuilt from batch 2, and loaded: 7 rows in 2 tables"


def test_a_batch_that_had_only_waited_is_not_called_rebuilt(glue: Glue, loaded: FakeLake, command: Command) -> None:
    loaded.land(3)
    glue.on_publish = {"ends": lambda: loaded.publish(3)}
    assert (
        command("backfill", "--from", "3").out[-1] == "nothing was rebuilt: these batches had not been published before, and are loaded now"
    )


def test_a_backfill_waits_for_other_runs_and_tries_again_when_it_is_forestalled(glue: Glue, loaded: FakeLake, command: Command) -> None:
    glue.refusals = 1
    other = glue.add(INGEST, jobs={"ingest": "FAILED"})
    assert command("backfill").code == 0
    assert other.has_ended


def test_a_failed_job_fails_the_backfill_with_its_error(glue: Glue, loaded: FakeLake, command: Command) -> None:
    glue.on_publish = {"jobs": {"transform": "FAILED"}, "error": "RetriableError: another publish was committed"}
    ended = command("backfill")
    assert (ended.code, ended.err) == (1, "backfill: failed: transform FAILED: RetriableError: another publish was committed\n")


def test_a_batch_that_has_not_landed_cannot_be_the_first(glue: Glue, loaded: FakeLake, command: Command) -> None:
    reason = "backfill: could not start: batch 3 has not landed: the newest with rows is batch 2, --from takes 1 to 2\n"
    assert command("backfill", "--from", "3") == Ended(2, [], reason)
    assert glue.started_with == []


def test_before_the_first_batch_there_is_nothing_to_make_anew(glue: Glue, command: Command) -> None:
    ended = command("backfill")
    assert ended.code == 2
    assert ended.err.startswith("backfill: could not start: no batch with rows has landed yet")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--from", "0"], "0 is not in the range x>=1"),
        (["--from", "-1"], "-1 is not in the range x>=1"),
        (["--from", "yesterday"], "'yesterday' is not a valid integer"),
        (["--table", "orders"], "'orders' is not one of 'address',"),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused_before_anything_starts(
    glue: Glue, command: Command, options: list[str], reason: str
) -> None:
    ended = command("backfill", *options)
    assert ended.code == 2
    assert reason in ended.err
    assert glue.started_with == []
