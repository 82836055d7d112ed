"""Objects that no publish wrote, and files that are gone, below the prefixes that Spark reads."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pytest
from totesys.errors import BadDataError
from totesys.lake.manifests import PublishManifest
from totesys.runtime.run_request import RunRequest

from tests.support.landing import address, counterparty, department, payment, staff
from tests.transform.conftest import Pipeline

FIRST = {
    "payment": [payment(1), payment(2)],
    "department": [department(1)],
    "staff": [staff(1, 1), staff(2, 1)],
    "address": [address(1)],
    "counterparty": [counterparty(1, 1)],
}
PLANTED = ("", "notes.txt", ".DS_Store", "copy.parquet", "backup/", "backup/part-00000.parquet", "_SUCCESS")


@pytest.fixture
def pipeline(new_pipeline: Callable[[], Pipeline]) -> Pipeline:
    """Two payments and their likes, published."""
    made = new_pipeline()
    made.landing.land(FIRST, full=True)
    made.transform()
    return made


def publish_a_second_day(pipeline: Pipeline) -> None:
    """A third payment, on the day that the next batch is of as well."""
    pipeline.landing.land({"payment": [payment(3)]}, day="2026-03-03")
    pipeline.transform()


def files(pipeline: Pipeline, prefix: str) -> list[str]:
    """The files of rows below a prefix."""
    return [key for key, _ in pipeline.processed.objects(prefix) if "/part-" in key]


def plant(pipeline: Pipeline) -> list[str]:
    """Puts everything that is not ours into every folder of the bucket that holds data."""
    folders = {key[: key.rindex("/") + 1]: key for key in files(pipeline, "")}
    planted = []
    for folder, key in folders.items():
        body = pipeline.processed.get(key)
        for name in PLANTED:
            pipeline.processed.put(folder + name, body if name.endswith(".parquet") else b"" if name.endswith("/") or not name else b"mine")
            planted.append(folder + name)
    return planted


def rows(pipeline: Pipeline, publish: PublishManifest, table: str) -> list[Any]:
    """A warehouse table's rows, of our own files alone."""
    found = []
    for state in publish.star[table].values():
        uris = [f"s3://{pipeline.processed.name}/{key}" for key in files(pipeline, state.prefix) if "backup/" not in key]
        found += pipeline.spark.read.parquet(*uris).collect()
    return found


def test_what_no_publish_wrote_is_not_read(pipeline: Pipeline) -> None:
    plant(pipeline)
    pipeline.landing.land({"payment": [payment(2, paid=True), payment(3)], "department": [department(1, "Ripon")]}, day="2026-03-02")
    published = pipeline.transform()
    assert published is not None
    assert sorted((row["payment_id"], row["paid"]) for row in rows(pipeline, published, "fact_payment")) == [
        (1, False), (2, False), (2, True), (3, False),
    ]  # fmt: skip
    assert sorted((row["staff_id"], row["location"]) for row in rows(pipeline, published, "dim_staff")) == [(1, "Ripon"), (2, "Ripon")]


def test_the_sweep_deletes_what_publishes_wrote_and_nothing_else(pipeline: Pipeline) -> None:
    old = files(pipeline, "star/fact_payment/")
    in_star = ["star/fact_payment/", "star/fact_payment/notes.txt"]
    elsewhere = ["notes.txt", "exports/2026/part-00000.parquet", *in_star, "_manifests/.DS_Store"]
    for key in elsewhere:
        pipeline.processed.put(key, b"")
    planted = plant(pipeline)
    pipeline.landing.land({"payment": [payment(1, paid=True)]}, day="2026-03-02")
    later = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=2)
    assert pipeline.transform(later) is not None
    pipeline.landing.land({"payment": [payment(1)]}, day="2026-03-03")
    assert pipeline.transform(later + datetime.timedelta(days=2)) is not None
    left = {key for key, _ in pipeline.processed.objects("")}
    assert {*elsewhere, *(key for key in planted if key.endswith((".txt", ".DS_Store", "copy.parquet")))} <= left
    assert set(files(pipeline, "mirror/payment/publish_id=0000000001")) == set(), old


@pytest.mark.parametrize(
    ("table", "batch", "marker"),
    [
        ("mirror/payment", {"payment": [payment(2)]}, True),
        ("mirror/payment", {"payment": [payment(2)]}, False),
        ("star/fact_payment", {"payment": [payment(2, paid=True)]}, True),
        ("mirror/staff", {"department": [department(1, "Ripon")]}, True),
        ("star/dim_counterparty", {"address": [address(1, "Hull")]}, True),
    ],
    ids=["a mirror", "a mirror without its marker", "a fact", "an input of a dimension", "a dimension"],
)
def test_a_partition_that_was_emptied_stops_the_publish_and_is_named(
    pipeline: Pipeline, table: str, batch: dict[str, list[dict[str, Any]]], marker: bool
) -> None:
    publish_a_second_day(pipeline)
    *_, key = files(pipeline, f"{table}/")
    folder = key[: key.rindex("/") + 1]
    pipeline.processed.delete([key])
    if marker:
        pipeline.processed.put(folder, b"")
    pipeline.landing.land(batch, day="2026-03-03")
    with pytest.raises(BadDataError, match=r"restore the objects") as refused:
        pipeline.transform()
    assert folder.rstrip("/") in str(refused.value)


@pytest.mark.parametrize(("table", "rows"), [("mirror/payment", 3), ("star/fact_payment", 1)])
def test_a_copy_under_a_name_of_ours_stops_the_publish_and_is_named(pipeline: Pipeline, table: str, rows: int) -> None:
    publish_a_second_day(pipeline)
    *_, key = files(pipeline, f"{table}/")
    pipeline.processed.put(key.replace("part-00000", "part-00001"), pipeline.processed.get(key))
    pipeline.landing.land({"payment": [payment(2, paid=True)]}, day="2026-03-03")
    folder = key[: key.rindex("/") + 1]
    with pytest.raises(
        BadDataError, match=rf"the lake's files of {table} hold {2 * rows} rows, but the newest manifest says {rows}\..* below {folder}"
    ):
        pipeline.transform()


def test_a_backfill_takes_an_emptied_prefix_for_gone_though_its_marker_is_left(pipeline: Pipeline) -> None:
    pipeline.landing.land({"payment": [payment(2, paid=True)]}, day="2026-03-03")
    pipeline.transform()
    for key in files(pipeline, "mirror/payment/publish_id=0000000001"):
        pipeline.processed.put(key[: key.rindex("/") + 1], b"")
        pipeline.processed.delete([key])
    published = pipeline.transform(request=RunRequest(backfill=True, backfill_from=2))
    assert published is not None
    assert sorted((row["payment_id"], row["paid"]) for row in rows(pipeline, published, "fact_payment")) == [
        (1, False), (2, False), (2, True),
    ]  # fmt: skip
