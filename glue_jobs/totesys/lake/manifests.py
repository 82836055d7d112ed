"""Manifests: the JSON that commits a batch (ingestion bucket) or a publish (processed bucket).

A manifest is written last and exclusively: without a manifest there is no batch. The newest manifest is the only state.
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
    """The identity of the source. Saved transaction ids are valid only while it stays the same."""

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
    """Why a table is held. Its capture point stays, so that none of its rows flows on and none is lost.

    cause             "deletes": too many rows were deleted; "rows": values cannot be read; "drift": the table does not match its contract;
                      "error": the source could not lock, count or read it. Every batch tries again
    cure              what a person can do about it
    since             UTC time of the first snapshot that held the table, ISO 8601
    judged_xmin       xmin of the snapshot in which the reason was found; after an error, of the last snapshot whose rows were read
    judged_rows       rows that the source held in that snapshot. While neither number changes, the reason still holds, and the table is
                      not read again. A table with drift is never read
    contract_version  the version of the contract that was judged
    table_oid         the table that was judged
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
    """Single rows of a table that are kept out of the lake.

    open_letters  the object that lists the open letters: those with the newest versions of their keys at the source
    rows          how many letters are open
    new_rows      how many of them this batch found
    format        the format of the object `open_letters`
    """

    open_letters: str
    rows: int
    new_rows: int
    format: int = formats.OPEN_LETTERS


@dataclass(frozen=True)
class Observed:
    """The parts of a table's structure that no contract holds. None: a batch of an earlier release did not record that part.

    columns      all columns with their numbers, in order
    defaults     the columns' defaults
    types        by column, the oid of its type
    labels       by column with an enum, the labels by their oids
    expressions  by virtual generated column, its expression
    parts        the oids of the table's partitions and of the tables that inherit from it, in order
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
    previous_at   captured_at of the table's previous capture: all that was committed before it has been captured; None at first
    full_at       UTC time of the table's last full read
    rows          rows landed by this batch; 0 when nothing changed
    row_count     rows that the source holds
    key_set       the object with the exact set of their keys, in `key_set_format`
    seen          the object with the row versions that the next delta must drop, in `seen_format`, or None
    since_xmin    the xmin that a delta would have started from, if this full read could have been a delta; None otherwise
    dead_letters  the rows that are kept out of the lake; None if there are none
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

    data_seq                  the newest batch with rows, up to and including this batch; 0: none yet
    previous_data_seq         the batch with rows before `data_seq`, so that readers skip batches without rows
    snapshot_lsn              the position in the source's log by which everything in the snapshot is on disk; 0 if it was not asked for
    oldest_transaction_since  UTC time, ISO 8601, since when every snapshot has had the same oldest running transaction
    tables                    what was read of each table; for a held table, what the last batch read that did not hold it, if any
    held                      why tables are held
    drift                     by table, drift with which its rows still flow
    observed                  by table, the structure that the next batch compares with
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
        """Return the UTC day of the snapshot: the first partition key of raw data."""
        return self.snapshot_at[:10]

    @property
    def has_rows(self) -> bool:
        return self.data_seq == self.seq

    @property
    def snapshot_xmax(self) -> int:
        """Return the first transaction, in 64 bits, that the snapshot does not see."""
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
    deleted           how many of a mirror's rows are tombstones
    contract_version  the contract version that the files were written under; 0: an earlier release wrote them
    """

    prefix: str
    publish_seq: int
    rows: int
    max_batch_seq: int
    deleted: int = 0
    contract_version: int = 0


@dataclass(frozen=True)
class PublishManifest:
    """One transform run. It describes the whole lake after that run, by reference.

    previous_seq      the publish before it; 0 if there was none
    lake_id           id of the first batch with rows: the same in every publish from one ingestion bucket, and different in all others
    batches           the batches that it added: (number, id), in order
    after_batch_seq   the newest batch that was published before
    through_batch_seq the newest batch that is published now
    mirror            source table -> partition value -> state
    star              warehouse table -> partition value -> state
    new_rows          warehouse table -> rows with a batch_seq above after_batch_seq
    misses            source table -> rows that a full read found changed although no delta would have read them
    changed_since     source table -> the earliest possible time of its changes in this publish, ISO 8601; not for a table's first read
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
    """Write the manifest exclusively. AlreadyThereError when another run took the number."""
    number = formats.BATCH_MANIFEST if isinstance(manifest, BatchManifest) else formats.PUBLISH_MANIFEST
    key, body = layout.manifest_key(manifest.seq), json.dumps(with_format(number, asdict(manifest)), indent=1).encode()
    try:
        bucket.put_if_absent(key, body)
    except AlreadyThereError:
        # The answer to a first try may have been lost. Then the manifest that is there is ours.
        if bucket.get(key) != body:
            raise


def newest_batch(ingestion: Bucket) -> BatchManifest | None:
    """Return the newest batch, or None before the first. Takes two requests."""
    key = ingestion.first_key(layout.MANIFESTS, layout.is_manifest)
    return _read(ingestion, key, formats.BATCH_MANIFEST, BatchManifest.parse) if key else None


def read_batch(ingestion: Bucket, seq: int) -> BatchManifest:
    """Return the batch with this number. FatalError when there is none."""
    return _read(ingestion, layout.manifest_key(seq), formats.BATCH_MANIFEST, BatchManifest.parse)


def newest_publish(processed: Bucket) -> PublishManifest | None:
    """Return the newest publish, or None before the first. Takes two requests."""
    key = processed.first_key(layout.MANIFESTS, layout.is_manifest)
    return _read(processed, key, formats.PUBLISH_MANIFEST, PublishManifest.parse) if key else None


def read_publish(processed: Bucket, seq: int) -> PublishManifest:
    """Return the publish with this number. FatalError when there is none."""
    return _read(processed, layout.manifest_key(seq), formats.PUBLISH_MANIFEST, PublishManifest.parse)


def batches_after(ingestion: Bucket, through_seq: int) -> list[BatchManifest]:
    """Return the batches with rows above number `through_seq`, oldest first. Batches without rows are not visited."""
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
    """Return the manifest with this key. FatalError that names the key when the manifest is missing, damaged or newer than this code."""

    def make(body: dict[str, Any]) -> _Manifest:
        manifest = parse(body)
        if layout.manifest_key(manifest.seq) != key:
            raise ValueError(f"it is the manifest of number {manifest.seq}, but its name has another number")
        return manifest

    return read_object(bucket, key, newest, make)
