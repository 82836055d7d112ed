"""Every object that an earlier release wrote is read for ever; a newer one is refused in one line; unknown fields do no harm."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws
from totesys.errors import FatalError
from totesys.ingest.dead_letters import load_open
from totesys.ingest.keys import load_keys
from totesys.ingest.seen import load_seen
from totesys.lake import layout
from totesys.lake.manifests import BatchManifest, PublishManifest, TableCapture, newest_batch, newest_publish
from totesys.lake.store import Bucket
from totesys.runtime.run_request import RunRequest

from operations.dead_letters.discard import discard
from operations.dead_letters.letters import Letter, Letters
from tests.formats.make_golden import GOLDEN, RUN_REQUEST, SUMS, sums

RELEASES = sorted(path for path in GOLDEN.iterdir() if path.is_dir())
NEWER = "was written by a newer version of the pipeline (format 2, this code reads up to 1): deploy that version again"


@pytest.fixture(params=RELEASES, ids=lambda folder: folder.name)
def golden(request: pytest.FixtureRequest) -> Path:
    """The folder of one release."""
    return Path(request.param)


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    with mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
        s3.create_bucket(Bucket="lake")
        yield Bucket(s3, "lake")


def put_golden(bucket: Bucket, golden: Path) -> BatchManifest:
    """Put the release's batch and what belongs to it where its manifest says, and return the manifest."""
    body = json.loads((golden / "batch_manifest.json").read_bytes())
    bucket.put(layout.manifest_key(body["seq"]), (golden / "batch_manifest.json").read_bytes())
    batch = newest_batch(bucket)
    assert batch
    orders = batch.tables["sales_order"]
    assert orders.seen and orders.dead_letters
    bucket.put(orders.key_set, (golden / "key_set.roaring64").read_bytes())
    bucket.put(orders.seen, (golden / "seen_versions.parquet").read_bytes())
    bucket.put(orders.dead_letters.open_letters, (golden / "open_letters.parquet").read_bytes())
    return batch


def test_no_golden_file_was_touched() -> None:
    assert SUMS.read_text() == sums(), "golden files stay as they are: a new format adds a folder"


def test_a_batch_manifest_is_read_with_what_is_beside_it(bucket: Bucket, golden: Path) -> None:
    batch = put_golden(bucket, golden)
    orders = batch.tables["sales_order"]
    assert (batch.seq, batch.data_seq, batch.previous_data_seq, batch.has_rows) == (5, 5, 4, True)
    assert (orders.mode, orders.row_count, orders.rows, len(orders.files)) == ("delta", 6, 1, 1)
    assert (batch.held["design"].cause, batch.held["design"].dead_rows) == ("drift", 1)
    assert batch.held["design"].cure.startswith("change the source back, or settle the contract")
    assert batch.observed["sales_order"].columns["sales_order_id"] == 1
    assert list(load_keys(bucket, orders)) == [1, 2, 3, 4, 5, 6]
    assert [text.as_py().split()[0] for text in load_seen(bucket, orders)] == ["6"]
    assert orders.dead_letters
    letters = load_open(bucket, orders.dead_letters).to_pylist()
    assert [(letter["key"], letter["batch_seq"], letter["reason"]) for letter in letters] == [
        (3, 2, "agreed_payment_date is not a date (YYYY-MM-DD)"),
        (4, 2, "agreed_payment_date is not a date (YYYY-MM-DD)"),
    ]


def test_a_publish_manifest_is_read(bucket: Bucket, golden: Path) -> None:
    bucket.put(layout.manifest_key(4), (golden / "publish_manifest.json").read_bytes())
    publish = newest_publish(bucket)
    assert publish
    assert (publish.seq, publish.previous_seq, publish.after_batch_seq, publish.through_batch_seq) == (4, 3, 3, 4)
    assert publish.lake_id.startswith("0000000001-")
    assert [seq for seq, _ in publish.batches] == [4]
    assert publish.mirror["sales_order"]["0"].rows == 3
    assert sum(state.rows for state in publish.star["fact_sales_order"].values()) == 5
    assert publish.new_rows["dim_staff"] == 1


def test_dead_letters_and_what_a_person_said_of_them_are_read(bucket: Bucket, golden: Path) -> None:
    put_golden(bucket, golden)
    written = json.loads((golden / "dead_letters.jsonl").read_text().splitlines()[0])
    second = json.loads((golden / "batch_manifest.json").read_bytes()) | {"seq": 2, "batch_id": written["batch_id"]}
    bucket.put(layout.manifest_key(2), json.dumps(second | {"held": {}}).encode())
    day = written["snapshot_at"][:10]
    assert day == second["snapshot_at"][:10]
    bucket.put(layout.dead_letter_key("sales_order", day, written["batch_id"]), (golden / "dead_letters.jsonl").read_bytes())
    bucket.put(layout.discarded_key("sales_order", 2, 4), (golden / "discard.json").read_bytes())
    batch = newest_batch(bucket)
    assert batch
    found = Letters(bucket, batch)
    assert [letter.key for letter in found.of("sales_order").open] == [3]
    assert [(letter["key"], letter["row"]["agreed_payment_date"]) for letter, _ in found.read("sales_order")] == [(3, "soon")]
    line = discard(bucket, "sales_order", Letter(4, 1, 2, ""), "again", "ann", datetime.now(timezone.utc))
    assert line.startswith("sales_order 4 is discarded already by pat at ")
    assert line.endswith(": a test order")


def test_demands_are_read(golden: Path) -> None:
    assert RunRequest.parse(json.loads((golden / "run_properties.json").read_bytes())) == RUN_REQUEST


@pytest.mark.parametrize(("name", "read"), [("batch_manifest.json", newest_batch), ("publish_manifest.json", newest_publish)])
def test_a_newer_manifest_is_refused_in_one_line(bucket: Bucket, golden: Path, name: str, read: Callable[[Bucket], Any]) -> None:
    key = layout.manifest_key(9)
    bucket.put(key, (golden / name).read_bytes().replace(b'"format": 1,\n "seq"', b'"format": 2,\n "number"'))
    with pytest.raises(FatalError) as refused:
        read(bucket)
    assert str(refused.value) == f"s3://lake/{key} {NEWER}"


@pytest.mark.parametrize("name", ["key_set", "seen", "open_letters"])
def test_a_newer_object_beside_a_manifest_is_refused_in_one_line(bucket: Bucket, golden: Path, name: str) -> None:
    put_golden(bucket, golden)
    key = layout.manifest_key(5)
    body = json.loads(bucket.get(key))
    orders = body["tables"]["sales_order"]
    if name == "open_letters":
        orders["dead_letters"]["format"] = 2
    else:
        orders[f"{name}_format"] = 2
    bucket.put(key, json.dumps(body).encode())
    batch = newest_batch(bucket)
    assert batch, "the manifest itself is of format 1"
    capture = batch.tables["sales_order"]
    assert capture.dead_letters
    places = {"key_set": capture.key_set, "seen": capture.seen, "open_letters": capture.dead_letters.open_letters}
    letters = capture.dead_letters
    reads = {
        "key_set": lambda: load_keys(bucket, capture),
        "seen": lambda: load_seen(bucket, capture),
        "open_letters": lambda: load_open(bucket, letters),
    }
    for one, load in reads.items():
        if one != name:
            load()
    with pytest.raises(FatalError) as refused:
        reads[name]()
    assert str(refused.value) == f"s3://lake/{places[name]} {NEWER}"


def test_newer_demands_are_refused_in_one_line() -> None:
    with pytest.raises(FatalError) as refused:
        RunRequest.parse({"format": "2", "backfill": "true", "only": "payment"})
    assert str(refused.value) == f"the run request {NEWER}"


def test_an_ordinary_run_has_no_properties_and_others_may_stand_among_them() -> None:
    assert RunRequest().properties() == {}
    assert RunRequest.parse({"aws:eventIds": "[]"}) == RunRequest()
    assert RunRequest.parse({"full": "true"}) == RunRequest(full=True), "as a person writes it in the console"


FIRST = RELEASES[-1]
PARSERS = {"batch_manifest.json": BatchManifest.parse, "publish_manifest.json": PublishManifest.parse}
# Fields whose objects have data as names, of tables, partitions or columns, and how deep.
BY_NAME = {
    **dict.fromkeys(("tables", "held", "drift", "observed", "new_rows", "misses", "changed_since"), 1),
    **dict.fromkeys(("columns", "defaults", "types", "expressions"), 1),
    **dict.fromkeys(("mirror", "star", "labels"), 2),
}


def with_unknown_fields(body: Any, unknown: dict[str, Any], by_name: int = 0) -> Any:
    """The JSON with fields that no release has written, in every object whose names are fields."""
    if isinstance(body, list):
        return [with_unknown_fields(one, unknown) for one in body]
    if not isinstance(body, dict):
        return body
    if by_name:
        return {name: with_unknown_fields(value, unknown, by_name - 1) for name, value in body.items()}
    return {**{name: with_unknown_fields(value, unknown, BY_NAME.get(name, 0)) for name, value in body.items()}, **unknown}


UNKNOWN = st.dictionaries(
    st.from_regex(r"later_[a-z]{1,5}", fullmatch=True), st.none() | st.booleans() | st.text() | st.lists(st.integers()), min_size=1
)


@pytest.mark.parametrize("name", list(PARSERS))
@given(unknown=UNKNOWN)
def test_unknown_fields_are_ignored_wherever_they_stand(name: str, unknown: dict[str, Any]) -> None:
    body = json.loads((FIRST / name).read_bytes())
    assert PARSERS[name](with_unknown_fields(body, unknown)) == PARSERS[name](body)


def test_missing_fields_get_their_defaults() -> None:
    body = json.loads((FIRST / "batch_manifest.json").read_bytes())
    for name in ("held", "drift", "observed", "oldest_transaction_since", "snapshot_lsn"):
        del body[name]
    capture = body["tables"]["staff"]
    for name in ("files", "since_xmin", "dead_letters", "key_set_format", "seen_format"):
        del capture[name]
    batch = BatchManifest.parse(body)
    assert (batch.held, batch.drift, batch.observed, batch.oldest_transaction_since, batch.snapshot_lsn) == ({}, {}, {}, "", 0)
    staff: TableCapture = batch.tables["staff"]
    assert (staff.files, staff.since_xmin, staff.dead_letters, staff.key_set_format, staff.seen_format) == ((), None, None, 1, 1)


@pytest.mark.parametrize("missing", ["seq", "source", "data_seq", "tables.staff.key_set", "source.timeline"])
def test_a_manifest_that_lacks_what_has_no_default_names_it(bucket: Bucket, missing: str) -> None:
    body = json.loads((FIRST / "batch_manifest.json").read_bytes())
    *path, last = missing.split(".")
    inner = body
    for name in path:
        inner = inner[name]
    del inner[last]
    bucket.put(layout.manifest_key(5), json.dumps(body).encode())
    with pytest.raises(FatalError, match=rf"s3://lake/{layout.manifest_key(5)} cannot be read: it lacks .*\. Restore the object's earlier"):
        newest_batch(bucket)
