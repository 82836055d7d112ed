"""Keys deleted at the source: the warehouse notes them, keeps their rows, and forgets them when the keys live again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from totesys.errors import BadDataError, RetriableError

from tests.load.conftest import STAGING, LoadHistory, goes_on_from
from tests.load.lake import PublishedLake, staff

TOMBSTONES = "SELECT source_table, key, batch_seq FROM etl.tombstone ORDER BY 1, 2"


@pytest.fixture(scope="module")
def loaded_once(new_history: Callable[..., LoadHistory]) -> LoadHistory:
    """A warehouse with a member of staff, and mirrors in the lake in which all keys live."""

    def happen(lake: PublishedLake, load: Callable[[], Any]) -> None:
        lake.publish(1, {"dim_staff": [staff(1)]}, alive={"sales_order": [1, 2], "staff": [1]})
        load()

    return new_history(happen)


@goes_on_from("loaded_once")
def test_deleted_keys_get_tombstones_and_keep_their_rows(lake, load, query):
    lake.publish(2, {}, deleted={"sales_order": [2], "staff": [1, 100_000]})

    load()

    assert query(TOMBSTONES) == [("sales_order", 2, 2), ("staff", 1, 2), ("staff", 100_000, 2)]
    assert query("SELECT staff_id FROM dim_staff") == [(1,)]
    assert query(STAGING) == []


@goes_on_from("loaded_once")
def test_a_key_that_lives_again_loses_its_tombstone_and_one_deleted_again_has_the_batch_of_that(lake, load, query):
    lake.publish(2, {}, deleted={"sales_order": [1, 2, 3]})
    load()
    lake.publish(3, {}, alive={"sales_order": [2, 3]})
    lake.publish(4, {}, deleted={"sales_order": [3]})

    load()

    assert query(TOMBSTONES) == [("sales_order", 1, 2), ("sales_order", 3, 4)]


@goes_on_from("loaded_once")
def test_no_mirror_is_read_while_nothing_was_ever_deleted(lake, load, query):
    lake.publish(2, {"dim_staff": [staff(1, first_name="Ada")]}, alive={"staff": [1]})
    lake.remove_files("mirror")

    load()

    assert query("SELECT first_name FROM dim_staff") == [("Ada",)]


@goes_on_from("loaded_once")
def test_a_batch_of_deletes_alone_needs_no_other_rows(lake, load, query):
    lake.publish(2, {}, deleted={"sales_order": [1]})

    load()

    assert query("SELECT through_batch_seq, rows FROM etl.load_ledger WHERE load_seq = 2") == [(2, {})]


def test_the_first_load_brings_the_tombstones_of_all_that_was(lake, load, query):
    lake.publish(1, {}, deleted={"payment": [3]}, alive={"payment": [4]})

    load()

    assert query(TOMBSTONES) == [("payment", 3, 1)]


@goes_on_from("loaded_once")
@pytest.mark.parametrize("tamper", ["DELETE FROM {0}", "INSERT INTO {0} SELECT * FROM {0}"], ids=["emptied", "staged twice"])
def test_staged_keys_that_are_not_as_many_as_were_read_are_refused(lake, load, query, run_until_merge, tamper):
    lake.publish(2, {}, deleted={"sales_order": [1]})

    [error] = run_until_merge(1, lambda: query(tamper.format(f"etl.{query(STAGING)[0][0]}")))

    assert isinstance(error, RetriableError)
    assert "_tombstone holds" in str(error)
    assert query(TOMBSTONES) == []
    load()
    assert query(TOMBSTONES) == [("sales_order", 1, 2)]


@goes_on_from("loaded_once")
def test_a_mirror_with_other_tombstones_than_its_manifest_says_is_refused(lake, load):
    manifest = lake.publish(2, {}, deleted={"sales_order": [1]})
    lake.copy(manifest.mirror["sales_order"]["0"].prefix)

    with pytest.raises(BadDataError, match="mirrors hold 4 rows with 2 tombstones, but the manifest of publish 2 says 2 with 1"):
        load()
