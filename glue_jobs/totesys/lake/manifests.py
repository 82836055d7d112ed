"""Manifests: the JSON that commits a batch (ingestion bucket) or a publish (processed bucket).

A manifest is written last and exclusively: no manifest, no batch. State is the newest manifest, and there is no other.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from totesys.lake import formats, layout
from totesys.lake.formats import build, read_object, with_format
from totesys.lake.store import AlreadyThereError, Bucket


@dataclass(frozen=True)
class SourceIdentity:
    """What must stay the same for saved transaction ids to mean anything."""

    system_identifier: str
    timeline: int
    database_oid: int


@dataclass(frozen=True)
class LandedFile:
    """One Parquet file of a batch."""

    key: str
    rows: int
    bytes: int


@dataclass(frozen=True)
class Held:
    """Why a table is held: its capture point stays, nothing of it flows, and nothing of it is lost.

    cause             "deletes": too many rows are gone; "rows": their values cannot be read; "drift": the table is not what its contract
                      says; "error": the source could not lock, count or read it. Every batch tries again
    since             UTC time of the first snapshot that held it, ISO 8601
    cure              what a person can do about it
    judged_xmin       xmin of the snapshot that the reason was found in, and `judged_rows` the rows that the source held then: while neither
                      moves, the table need not be read again to know that the reason stands; with drift it is never read, and after an
                      error it is the xmin of the last snapshot whose rows were looked at
    contract_version  the contract and `table_oid` the table that were judged
    dead_rows         row versions put into the dead letter since then
    """

    cause: str
    reason: str
    cure: str
    since: str
    judged_xmin: int
    judged_rows: int
    contract_version: int
    table_oid: int
    dead_rows: int = 0


@dataclass(frozen=True)
class DeadLetters:
    """Rows of a table that are kept out of the lake one by one.

    open_letters  the object that lists the open ones: the newest versions of their keys at the source; `format` is the object's format
    rows          how many are open, and `new_rows` how many of them this batch found
    """

    open_letters: str
    rows: int
    new_rows: int
    format: int = formats.OPEN_LETTERS


@dataclass(frozen=True)
class Observed:
    """What a batch saw of a table's structure that is in no contract. None: a batch of an earlier release, which did not record it.

    columns      all its columns with their numbers, in order, and `defaults` their defaults
    types        by column, the oid of its type
    labels       by column of an enum, its labels by their oids
    expressions  by virtual generated column, its expression
    parts        the oids of its partitions and of the tables that inherit from it, in order
    """

    columns: dict[str, int]
    defaults: dict[str, str]
    types: dict[str, int] | None = None
    labels: dict[str, dict[str, str]] | None = None
    expressions: dict[str, str] | None = None
    parts: tuple[int, ...] | None = None

    @staticmethod
    def parse(body: dict[str, Any]) -> Observed:
        parts = body.get("parts")
        return build(Observed, body, parts=None if parts is None else tuple(parts))


@dataclass(frozen=True)
class TableCapture:
    """What one batch read of one table.

    capture_xmin  xmin (64 bits) of the snapshot that the next delta starts from
    captured_at   UTC time of that snapshot, ISO 8601
    previous_at   the same of the table's previous capture: what was committed before it has been captured; None at first
    full_at       UTC time of the table's last full read
    rows          rows landed by this batch; 0 when nothing changed
    row_count     rows that the source holds
    key_set       the object with their exact key set, in `key_set_format`
    seen          the object with the row versions that the next delta must drop, in `seen_format`, or None
    since_xmin    of a full read that could have been a delta: where that delta would have started from; None otherwise
    dead_letters  the rows that are kept out of the lake; None when there are none
    """

    mode: str  # "full" or "delta"
    contract_version: int
    table_oid: int
    capture_xmin: int
    captured_at: str
    previous_at: str | None
    full_at: str
    rows: int
    row_count: int
    key_set: str
    seen: str | None
    files: tuple[LandedFile, ...] = ()
    since_xmin: int | None = None
    dead_letters: DeadLetters | None = None
    key_set_format: int = formats.KEY_SET
    seen_format: int = formats.SEEN_VERSIONS

    @staticmethod
    def parse(body: dict[str, Any]) -> TableCapture:
        files, dead = tuple(build(LandedFile, landed) for landed in body.get("files", ())), body.get("dead_letters")
        return build(TableCapture, body, files=files, dead_letters=build(DeadLetters, dead) if dead else None)


@dataclass(frozen=True)
class BatchManifest:
    """One ingest run.

    data_seq                  the newest batch up to and including this one that landed rows; 0: none yet
    previous_data_seq         the one before it, so that batches without rows are never visited
    snapshot_lsn              the position in the source's log by which everything that the snapshot saw is on disk; 0 when nobody asked
    oldest_transaction_since  UTC time of the first snapshot in a row whose oldest running transaction was the same one, ISO 8601
    tables                    what was read of each table; of a held table, by the last batch that did not hold it, if there was one
    held                      why tables are held
    drift                     by table, drift that does not keep its rows from flowing
    observed                  by table, what the next batch's structure is compared with
    """

    seq: int
    batch_id: str
    started_at: str
    snapshot: str
    snapshot_at: str
    source: SourceIdentity
    data_seq: int
    previous_data_seq: int
    tables: dict[str, TableCapture]
    oldest_transaction_since: str = ""
    snapshot_lsn: int = 0
    held: dict[str, Held] = field(default_factory=dict)
    drift: dict[str, tuple[str, ...]] = field(default_factory=dict)
    observed: dict[str, Observed] = field(default_factory=dict)

    @property
    def ingest_date(self) -> str:
        """The UTC day of the snapshot: the first partition key of raw data."""
        return self.snapshot_at[:10]

    @property
    def has_rows(self) -> bool:
        return self.data_seq == self.seq

    @property
    def snapshot_xmax(self) -> int:
        """The first transaction, in 64 bits, that the snapshot does not see."""
        return int(self.snapshot.split(":")[1])

    @staticmethod
    def parse(body: dict[str, Any]) -> BatchManifest:
        return build(
            BatchManifest,
            body,
            source=build(SourceIdentity, body.get("source", {})),
            tables={table: TableCapture.parse(capture) for table, capture in body.get("tables", {}).items()},
            held={table: build(Held, why) for table, why in body.get("held", {}).items()},
            drift={table: tuple(texts) for table, texts in body.get("drift", {}).items()},
            observed={table: Observed.parse(seen) for table, seen in body.get("observed", {}).items()},
        )


@dataclass(frozen=True)
class PartitionState:
    """One partition of a lake table as of a publish.

    max_batch_seq     the highest batch_seq among its rows
    deleted           the tombstones among the rows of a mirror
    contract_version  the version of the table's contract that its files were written under; 0: an earlier release wrote them
    """

    prefix: str
    publish_seq: int
    rows: int
    max_batch_seq: int
    deleted: int = 0
    contract_version: int = 0


@dataclass(frozen=True)
class PublishManifest:
    """One transform run: the whole lake as of it, by reference.

    previous_seq      the publish that it follows; 0 when the bucket held none
    lake_id           id of the first batch with rows: the same for every publish made of one ingestion bucket, and of no other
    batches           the batches that it brought in: (number, id), in order
    after_batch_seq   the newest batch that was in before
    through_batch_seq the newest batch that is in
    mirror            source table -> partition value -> state
    star              warehouse table -> partition value -> state
    new_rows          warehouse table -> rows with a batch_seq above after_batch_seq
    misses            source table -> rows that a full read found different though no delta would have offered them
    changed_since     source table -> the earliest time, ISO 8601, that its changes in this publish can be of; not of tables read first
    """

    seq: int
    publish_id: str
    previous_seq: int
    published_at: str
    lake_id: str
    after_batch_seq: int
    through_batch_seq: int
    batches: tuple[tuple[int, str], ...]
    mirror: dict[str, dict[str, PartitionState]] = field(default_factory=dict)
    star: dict[str, dict[str, PartitionState]] = field(default_factory=dict)
    new_rows: dict[str, int] = field(default_factory=dict)
    misses: dict[str, int] = field(default_factory=dict)
    changed_since: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def parse(body: dict[str, Any]) -> PublishManifest:
        def states(tables: dict[str, dict[str, dict[str, Any]]]) -> dict[str, dict[str, PartitionState]]:
            return {
                table: {value: build(PartitionState, state) for value, state in partitions.items()} for table, partitions in tables.items()
            }

        return build(
            PublishManifest,
            body,
            batches=tuple((seq, batch_id) for seq, batch_id in body.get("batches", ())),
            mirror=states(body.get("mirror", {})),
            star=states(body.get("star", {})),
        )


NO_PUBLISH = PublishManifest(
    seq=0, publish_id="", previous_seq=0, published_at="", lake_id="", after_batch_seq=0, through_batch_seq=0, batches=()
)  # fmt: skip


def commit(bucket: Bucket, manifest: BatchManifest | PublishManifest) -> None:
    """Writes the manifest exclusively; AlreadyThereError when another run took the number."""
    number = formats.BATCH_MANIFEST if isinstance(manifest, BatchManifest) else formats.PUBLISH_MANIFEST
    key, body = layout.manifest_key(manifest.seq), json.dumps(with_format(number, asdict(manifest)), indent=1).encode()
    try:
        bucket.put_if_absent(key, body)
    except AlreadyThereError:
        # The answer to a first try may have got lost on its way: then the manifest that is there is ours.
        if bucket.get(key) != body:
            raise


def newest_batch(ingestion: Bucket) -> BatchManifest | None:
    """The newest batch, in two requests; None before the first."""
    key = ingestion.first_key(layout.MANIFESTS, layout.is_manifest)
    return _read(ingestion, key, formats.BATCH_MANIFEST, BatchManifest.parse) if key else None


def read_batch(ingestion: Bucket, seq: int) -> BatchManifest:
    """The batch of that number; FatalError when there is none."""
    return _read(ingestion, layout.manifest_key(seq), formats.BATCH_MANIFEST, BatchManifest.parse)


def newest_publish(processed: Bucket) -> PublishManifest | None:
    """The newest publish, in two requests; None before the first."""
    key = processed.first_key(layout.MANIFESTS, layout.is_manifest)
    return _read(processed, key, formats.PUBLISH_MANIFEST, PublishManifest.parse) if key else None


def read_publish(processed: Bucket, seq: int) -> PublishManifest:
    """The publish of that number; FatalError when there is none."""
    return _read(processed, layout.manifest_key(seq), formats.PUBLISH_MANIFEST, PublishManifest.parse)


def batches_after(ingestion: Bucket, through_seq: int) -> list[BatchManifest]:
    """The batches with rows above number `through_seq`, oldest first; follows the chain of batches that landed rows."""
    return list(reversed(list(_newest_first(ingestion, through_seq))))


def _newest_first(ingestion: Bucket, through_seq: int) -> Iterator[BatchManifest]:
    newest = newest_batch(ingestion)
    seq = newest.data_seq if newest else 0
    while seq > through_seq:
        batch = newest if newest and newest.seq == seq else read_batch(ingestion, seq)
        yield batch
        seq = batch.previous_data_seq


_Manifest = TypeVar("_Manifest", BatchManifest, PublishManifest)


def _read(bucket: Bucket, key: str, newest: int, parse: Callable[[dict[str, Any]], _Manifest]) -> _Manifest:
    """Return the manifest with this key. FatalError that names the key when it is missing, damaged or newer than this code."""

    def make(body: dict[str, Any]) -> _Manifest:
        manifest = parse(body)
        if layout.manifest_key(manifest.seq) != key:
            raise ValueError(f"it is the manifest of number {manifest.seq}, but its name has another number")
        return manifest

    return read_object(bucket, key, newest, make)
