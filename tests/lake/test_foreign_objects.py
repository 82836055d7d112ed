"""Objects of others below our prefixes are passed over, by their names; ours that are damaged are named with what restores them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws
from totesys.errors import FatalError
from totesys.lake import layout
from totesys.lake.manifests import (
    BatchManifest,
    PublishManifest,
    SourceIdentity,
    batches_after,
    commit,
    newest_batch,
    newest_publish,
    read_batch,
    read_publish,
)
from totesys.lake.store import Bucket


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    with mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
        s3.create_bucket(Bucket="lake")
        yield Bucket(s3, "lake")


def batch(seq: int) -> BatchManifest:
    return BatchManifest(seq, f"{seq:010d}-a", "", "9:12:", "2026-03-02T08:00:00+00:00", SourceIdentity("", 1, 1), seq, seq - 1, {})


def publish(seq: int) -> PublishManifest:
    return PublishManifest(
        seq=seq, publish_id=f"{seq:010d}-a", previous_seq=seq - 1, published_at="2026-03-02T09:00:00Z", lake_id="", after_batch_seq=0,
        through_batch_seq=seq, batches=((seq, f"{seq:010d}-a"),),
    )  # fmt: skip


FOREIGN = (
    "_manifests/",
    "_manifests/.DS_Store",
    "_manifests/._9999999998.json",
    "_manifests/0 notes.txt",
    "_manifests/0000000000.json.bak",
    "_manifests/2026/0000000000.json",
    "_manifests/9999999997 copy.json",
)


@pytest.mark.parametrize("foreign", FOREIGN)
def test_what_is_no_manifest_by_its_name_is_passed_over(bucket: Bucket, foreign: str) -> None:
    bucket.put(foreign, b"")
    assert newest_batch(bucket) is None
    commit(bucket, batch(1))
    commit(bucket, batch(2))
    assert newest_batch(bucket) == batch(2)
    assert batches_after(bucket, 0) == [batch(1), batch(2)]


@pytest.mark.parametrize("foreign", FOREIGN)
def test_the_newest_publish_is_found_behind_what_is_not_ours(bucket: Bucket, foreign: str) -> None:
    bucket.put(foreign, b"notes of a person")
    assert newest_publish(bucket) is None
    commit(bucket, publish(1))
    assert newest_publish(bucket) == publish(1)


def requests(bucket: Bucket) -> list[dict[str, Any]]:
    """The listings that are asked for from now on."""
    asked: list[dict[str, Any]] = []
    bucket.client.meta.events.register("provide-client-params.s3.ListObjectsV2", lambda params, **_: asked.append(params))
    return asked


@pytest.mark.parametrize("foreign", [(), FOREIGN])
def test_one_listing_finds_the_newest_manifest(bucket: Bucket, foreign: tuple[str, ...]) -> None:
    for key in foreign:
        bucket.put(key, b"")
    for seq in range(1, 30):
        commit(bucket, batch(seq))
    asked = requests(bucket)
    assert newest_batch(bucket) == batch(29)
    assert len(asked) == 1


def test_a_manifest_behind_a_thousand_objects_of_others_is_found(bucket: Bucket) -> None:
    for number in range(1_100):
        bucket.put(f"_manifests/.{number:04}", b"")
    commit(bucket, batch(1))
    assert newest_batch(bucket) == batch(1)


NEWEST = layout.manifest_key(2)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "it is empty"),
        (b'{"seq": 2, "batch_id"', "it is not JSON"),
        (b"\xff\xd8\xff\xe0 a picture", "it is not JSON"),
        (b"{}", "it has no format number"),
        (b"[2]", "it is JSON, but not an object"),
        (b"null", "it is JSON, but not an object"),
        (b'{"format": "1", "seq": 2}', "it has no format number"),
        (b'{"format": 1, "seq": 2}', "it lacks "),
        (b'{"format": 1, "seq": 2, "tables": 5, "star": 5}', ""),
    ],
    ids=["empty", "truncated", "binary", "no fields", "a list", "null", "no number", "too few fields", "other types"],
)
@pytest.mark.parametrize(
    "read", [newest_batch, newest_publish, lambda bucket: read_batch(bucket, 2), lambda bucket: read_publish(bucket, 2)]
)
def test_a_manifest_that_cannot_be_read_is_named_with_what_restores_it(
    bucket: Bucket, read: Callable[[Bucket], Any], body: bytes, reason: str
) -> None:
    bucket.put(NEWEST, body)
    with pytest.raises(FatalError) as refused:
        read(bucket)
    line = str(refused.value)
    assert line.startswith(f"s3://lake/{NEWEST} cannot be read: {reason}")
    assert f"aws s3api list-object-versions --bucket lake --prefix {NEWEST}" in line
    assert "\n" not in line


def test_a_manifest_under_the_name_of_another_is_refused(bucket: Bucket) -> None:
    commit(bucket, batch(1))
    bucket.put(NEWEST, bucket.get(layout.manifest_key(1)))
    with pytest.raises(FatalError, match=rf"s3://lake/{NEWEST} cannot be read: it is the manifest of number 1"):
        newest_batch(bucket)


@pytest.mark.parametrize(
    ("key", "is_ours"),
    [
        ("star/fact_payment/publish_id=0000000001-0a1b2c3d/batch_day=initial/part-00000-6f.c000.snappy.parquet", True),
        ("mirror/payment/publish_id=0000000001-0a1b2c3d-1/key_range=0/part-00000-6f.c000.snappy.parquet", True),
        ("mirror/payment/publish_id=0000000001-0a1b2c3d/_temporary/0/t_1/key_range=0/part-00000-6f.snappy.parquet", True),
        ("mirror/payment/publish_id=0000000001-0a1b2c3d/_SUCCESS", True),
        ("mirror/payment/publish_id=0000000001-0a1b2c3d/key_range=0/", True),
        ("mirror/payment/publish_id=0000000001-0a1b2c3d/key_range=0/notes.txt", False),
        ("mirror/payment/publish_id=0000000001-0a1b2c3d/key_range=0/.DS_Store", False),
        ("mirror/payment/publish_id=0000000001-0a1b2c3d/key_range=0/copy.parquet", False),
        ("mirror/payment/", False),
        ("star/fact_payment/part-00000.parquet", False),
        ("exports/2026/part-00000.parquet", False),
        ("notes.txt", False),
        ("_manifests/9999999998.json", False),
    ],
)
def test_what_a_publish_wrote_is_known_by_its_name(key: str, is_ours: bool) -> None:
    assert layout.is_of_publish(key) is is_ours
