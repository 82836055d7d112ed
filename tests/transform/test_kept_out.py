"""A key that a full read kept out as a dead letter is still at the source: it keeps its state, and only what is really gone is deleted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from totesys.lake.manifests import newest_publish

from tests.support.landing import address, sales_order
from tests.transform.conftest import Pipeline


@pytest.mark.parametrize("is_published_between", [True, False], ids=["batch by batch", "at once"])
@pytest.mark.parametrize("table, row", [("sales_order", sales_order), ("address", address)], ids=["a fact", "a dimension"])
def test_a_kept_out_key_is_not_taken_for_deleted_until_it_is_really_gone(
    new_pipeline: Callable[[], Pipeline], table: str, row: Callable[[int], dict[str, Any]], is_published_between: bool
) -> None:
    pipeline = new_pipeline()

    def land(*keys: int, kept_out: tuple[int, ...] = ()) -> None:
        pipeline.landing.land({table: [row(key) for key in keys]}, full=True, kept_out=kept_out)
        if is_published_between:
            pipeline.transform()

    land(1, 2, 3, 4, 5)
    land(1, kept_out=(2, 3, 5))
    land(1, 5, kept_out=(3,))
    pipeline.transform()

    publish = newest_publish(pipeline.processed)
    assert publish
    mirror = {one[f"{table}_id"]: (one["is_deleted"], one["batch_seq"]) for one in pipeline.rows(publish.mirror, table)}
    assert mirror == {1: (False, 1), 2: (True, 3), 3: (False, 1), 4: (True, 2), 5: (False, 1)}
