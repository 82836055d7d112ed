"""What is to be loaded, and when not."""

from __future__ import annotations

import pytest
from totesys.errors import FatalError
from totesys.load.plan import Loaded, plan_load
from totesys.manifests import PartitionState, PublishManifest


def publish(seq: int, through: int, publish_id: str = "a", **warehouse: dict[str, PartitionState]) -> PublishManifest:
    return PublishManifest(
        seq,
        publish_id,
        seq - 1,
        "2026-03-02T09:00:00Z",
        "origin",
        0,
        through,
        (),
        warehouse=warehouse,
        new_rows={"dim_staff": 1, "dim_date": 0},
    )


def test_only_partitions_with_newer_rows_are_read():
    old, new = PartitionState("dim_staff/old/", 1, 10, 3), PartitionState("dim_staff/new/", 2, 10, 5)

    plan = plan_load(publish(2, 5, dim_staff={"0": old, "1": new}, dim_design={"0": old}), Loaded(1, "x", 3))

    assert plan.partitions == {"dim_staff": [new]}
    assert plan.after_batch_seq == 3


def test_the_manifest_counts_the_rows_of_one_publish_but_not_of_several():
    assert plan_load(publish(2, 5), Loaded(1, "x", 3)).promised_rows("dim_staff") == 1
    assert plan_load(publish(3, 5), Loaded(1, "x", 3)).promised_rows("dim_staff") is None


def test_a_warehouse_that_holds_the_newest_batch_has_nothing_to_load():
    assert plan_load(publish(2, 5), Loaded(2, "a", 5)) is None
    assert plan_load(publish(3, 5), Loaded(2, "a", 5)) is None
    assert plan_load(None, Loaded()) is None


@pytest.mark.parametrize(
    "newest",
    [None, publish(1, 9), publish(9, 1), publish(2, 5, "another"), publish(2, 9, "another")],
    ids=["no publish", "older publish", "older batch", "same number, other publish", "same number, other publish, newer batch"],
)
def test_a_warehouse_ahead_of_the_lake_needs_a_person(newest):
    with pytest.raises(FatalError, match="the processed bucket was rebuilt or is another one"):
        plan_load(newest, Loaded(2, "a", 5))
