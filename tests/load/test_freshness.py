"""How old a change can have been when its load committed."""

from dataclasses import replace
from datetime import datetime

from totesys.lake.manifests import NO_PUBLISH, commit
from totesys.load.freshness import changed_since
from totesys.load.plan import Loaded, LoadPlan


def publish(seq, after, through, **since):
    return replace(
        NO_PUBLISH,
        seq=seq,
        publish_id=f"p{seq}",
        previous_seq=seq - 1,
        after_batch_seq=after,
        through_batch_seq=through,
        changed_since=since,
    )


def at(minute):
    return f"2024-01-05T09:{minute:02d}:00.000000+00:00"


def test_a_load_of_several_publishes_is_as_fresh_as_the_earliest_change_in_them(new_bucket):
    processed = new_bucket()
    lake = [publish(1, 0, 3, staff=at(1)), publish(2, 3, 5, design=at(5), staff=at(6)), publish(3, 5, 6, staff=at(10), payment=at(10))]
    for one in lake:
        commit(processed, one)
    plan = LoadPlan(lake[2], Loaded(load_seq=1, through_batch_seq=3), frozenset(), 3, {}, {})
    assert changed_since(processed, plan) == {
        "design": datetime.fromisoformat(at(5)), "staff": datetime.fromisoformat(at(6)), "payment": datetime.fromisoformat(at(10)),
    }  # fmt: skip
    from_the_start = replace(plan, loaded=Loaded(), after_batch_seq=0)
    assert changed_since(processed, from_the_start)["staff"] == datetime.fromisoformat(at(1))
