"""A file of the lake that is no Parquet any more ends the run with one line that names it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from totesys.errors import BadDataError
from totesys.lake.manifests import newest_publish

from tests.support.landing import address
from tests.transform.conftest import Pipeline

BODIES = {"text": b"notes of a person, longer than a footer", "a few bytes": b"PAR1", "empty": b""}


@pytest.mark.parametrize("body", list(BODIES.values()), ids=list(BODIES))
@pytest.mark.parametrize("kind", ["landed rows", "open letters", "mirror"])
def test_a_file_that_is_no_parquet_is_named(new_pipeline: Callable[[], Pipeline], kind: str, body: bytes) -> None:
    pipeline = new_pipeline()
    pipeline.landing.land({"address": [address(1), address(2)]}, full=True)
    pipeline.transform()
    before = newest_publish(pipeline.processed)
    batch = pipeline.landing.land({"address": [address(1)]}, full=True, kept_out=(2,))
    capture: Any = batch.tables["address"]
    bucket, key = {
        "landed rows": lambda: (pipeline.landing.ingestion, capture.files[0].key),
        "open letters": lambda: (pipeline.landing.ingestion, capture.dead_letters.open_letters),
        "mirror": lambda: (pipeline.processed, next(key for key, _ in pipeline.processed.objects("mirror/address/") if "/part-" in key)),
    }[kind]()
    bucket.put(key, body)

    with pytest.raises(BadDataError) as refused:
        pipeline.transform()

    assert key.rpartition("/")[0] in str(refused.value)  # Spark reads no empty file, so only the folder is known of one
    assert "restore the object" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert newest_publish(pipeline.processed) == before
