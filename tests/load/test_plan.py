"""What is to be loaded, and when not."""

from __future__ import annotations

import pytest
from totesys.contracts import load_contracts
from totesys.errors import FatalError, RetriableError
from totesys.lake.manifests import PartitionState, PublishManifest
from totesys.load.backfill import plan_backfill, requested_tables
from totesys.load.plan import LakeRows, Loaded, LoadPlan, plan_load
from totesys.runtime.run_request import RunRequest

Tables = dict[str, dict[str, PartitionState]]


def publish(
    through: int, *, seq: int = 2, after: int = 3, lake_id: str = "first", star: Tables | None = None, mirror: Tables | None = None
) -> PublishManifest:
    return PublishManifest(
        seq=seq, publish_id=f"{seq}", previous_seq=seq - 1, published_at="2026-03-02T09:00:00Z", lake_id=lake_id, after_batch_seq=after,
        through_batch_seq=through, batches=(), star=star or {}, mirror=mirror or {}, new_rows={"dim_staff": 1},
    )  # fmt: skip


def loaded(through: int) -> Loaded:
    return Loaded(load_seq=4, publish_seq=9, publish_id="9", lake_id="first", through_batch_seq=through)


def earlier_load(load_seq: int, through: int) -> Loaded:
    return Loaded(load_seq, load_seq, f"{load_seq}", "first", through, dict.fromkeys(load_contracts().facts, 0))


def planned(newest: PublishManifest, *, after: int, tombstoned: frozenset[str] = frozenset()) -> LoadPlan:
    plan = plan_load(newest, loaded(after) if after else Loaded(), tombstoned)
    assert plan
    return plan


def partition(max_batch_seq: int, deleted: int = 0) -> PartitionState:
    return PartitionState(f"through-{max_batch_seq}/", 1, 10, max_batch_seq, deleted)


def test_only_partitions_with_newer_rows_are_read():
    tables = {"dim_staff": {"0": partition(3), "1": partition(5)}, "dim_design": {"0": partition(3)}}

    plan = planned(publish(5, star=tables), after=3)

    assert plan.stars == {"dim_staff": LakeRows((partition(5),), 3, 5)}
    assert plan.after_batch_seq == 3


def test_the_manifest_counts_the_rows_that_are_new_to_a_warehouse_that_has_just_the_batches_before_it():
    newest = publish(5, after=3, star={"dim_staff": {"0": partition(5)}})

    assert planned(newest, after=3).promised_rows("dim_staff") == 1
    assert planned(newest, after=2).promised_rows("dim_staff") is None
    assert planned(newest, after=4).promised_rows("dim_staff") is None


def test_a_warehouse_that_holds_the_newest_batch_has_nothing_to_load_whatever_the_numbers_of_publishes_are():
    assert plan_load(publish(5, seq=1), loaded(5)) is None
    assert plan_load(publish(5, seq=20), loaded(5)) is None
    assert plan_load(None, Loaded()) is None


def test_a_lake_rebuilt_goes_on_where_the_old_one_ended():
    assert planned(publish(7, seq=1, after=0), after=5).after_batch_seq == 5


@pytest.mark.parametrize("newest", [None, publish(4)], ids=["no publish", "older batch"])
def test_a_lake_behind_the_warehouse_is_waited_for(newest):
    with pytest.raises(
        RetriableError, match=r"holds batch 5, but the lake only holds batches through .* next tick.*scripts/totesys backfill"
    ):
        plan_load(newest, loaded(5))


@pytest.mark.parametrize("through", [4, 5, 6])
def test_another_lake_needs_a_person(through):
    with pytest.raises(FatalError, match=r"begins with batch first, .* begins with batch another: .*scripts/totesys backfill"):
        plan_load(publish(through, lake_id="another"), loaded(5))


def test_mirrors_are_read_only_where_a_new_tombstone_may_be():
    ranges = {"0": partition(3, deleted=1), "1": partition(5), "2": partition(5, deleted=1)}

    plan = planned(publish(5, mirror={"payment": ranges, "staff": {"0": partition(5)}}), after=3)

    assert plan.mirrors == {"payment": LakeRows((partition(5, deleted=1),), 3, 5)}
    assert not plan.is_revivable("payment")


def test_mirrors_of_tables_with_tombstones_are_read_for_keys_that_live_again():
    ranges = {"0": partition(3, deleted=1), "1": partition(5)}

    plan = planned(publish(5, mirror={"payment": ranges}), after=3, tombstoned=frozenset({"payment"}))

    assert plan.mirrors == {"payment": LakeRows((partition(5),), 3, 5)}
    assert plan.is_revivable("payment")


def test_a_first_load_makes_all_tombstones_anew():
    ranges = {"0": partition(3, deleted=1), "1": partition(5)}

    plan = planned(publish(5, mirror={"payment": ranges}), after=0, tombstoned=frozenset({"payment"}))

    assert plan.mirrors == {"payment": LakeRows((partition(3, deleted=1),), 0, 5)}
    assert plan.is_rebuilt("payment")
    assert not plan.is_revivable("payment")


@pytest.mark.parametrize(
    ("demanded", "tables"),
    [
        ("payment", ["fact_payment"]),
        ("address", ["dim_counterparty", "dim_location"]),
        ("dim_date", ["dim_date"]),
        ("fact_sales_order", ["fact_sales_order"]),
        (None, list(load_contracts().warehouse)),
    ],
)
def test_a_backfill_is_about_the_warehouse_tables_that_are_made_of_the_demanded_one(demanded, tables):
    assert requested_tables(load_contracts(), demanded) == tables


def test_a_backfill_of_an_unknown_table_names_those_that_there_are():
    with pytest.raises(FatalError, match=r"no table fact_refund .* fact_payment"):
        requested_tables(load_contracts(), "fact_refund")


@pytest.mark.parametrize(
    ("newest", "error"), [(publish(9, lake_id="another"), FatalError), (publish(4), RetriableError)], ids=["another lake", "lake behind"]
)
def test_a_part_of_the_warehouse_is_not_rebuilt_from_a_lake_that_does_not_fit(newest, error):
    for request in (RunRequest(backfill=True, backfill_table="dim_staff"), RunRequest(backfill=True, backfill_from=4)):
        with pytest.raises(error):
            plan_backfill(newest, loaded(5), earlier_load(1, 3), frozenset(), load_contracts(), request)


def test_all_of_the_warehouse_may_be_rebuilt_from_another_lake_or_an_older_one():
    for newest in (publish(9, lake_id="another"), publish(4)):
        work = plan_backfill(newest, loaded(5), Loaded(), frozenset(), load_contracts(), RunRequest(backfill=True))
        assert work
        assert work.plan.publish == newest
