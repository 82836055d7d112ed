"""The only module that builds an S3 key.

Ingestion bucket (raw, immutable)
    <table>/ingest_date=YYYY-MM-DD/batch_id=<id>/<nnnnn>.parquet   rows of one table in one batch
    _keys/<table>/<batch id>.roaring64                             the keys that the source held at that batch
    _seen/<table>/<batch id>.parquet                               row versions already read that a later snapshot may offer again
    _open/<table>/<batch id>.parquet                               rows in the dead letter that are still at the source
    dead_letter/<table>/ingest_date=YYYY-MM-DD/batch_id=<id>/*.jsonl  rows that a batch kept out, readable, with the reason
    dead_letter/<table>/discarded/<batch>-<key>.json               a person's word that a dead letter needs no more care
    _manifests/<inverted number>.json                              a batch's manifest: its commit

Processed bucket
    star/<warehouse table>/publish_id=<id>/<partition>=<value>/*.parquet  the three stars
    mirror/<source table>/publish_id=<id>/key_range=<n>/*.parquet  the mirror of the source
    _manifests/<inverted number>.json                              a publish's manifest: its commit

Manifests are numbered downwards, so that the newest is the first of its prefix: one request finds it however many there are.

Others may put objects below any prefix: a console makes folder markers, a sync brings .DS_Store. Ours are recognised by their names.
"""

from __future__ import annotations

import re

MANIFESTS = "_manifests/"
DATA_FILES = "part-*"  # the names that Spark gives to files of rows, as a glob
_TOP = 10**10 - 1  # more numbers than five-minute ticks in 95,000 years
_MANIFEST = re.compile(r"_manifests/[0-9]{10}\.json")
_DATA_FILE = re.compile(r"(mirror|star)/[^/]+/publish_id=[^/]+/(.+/)?part-[^/]+")
_BESIDE_DATA = re.compile(r"(mirror|star)/[^/]+/publish_id=[^/]+/(.+/)?(_SUCCESS)?")  # what Spark and S3 clients write there without rows


def run_id(seq: int, attempt: str) -> str:
    """The id of a batch or publish: its number, so that ids sort by time, and its attempt, so that racing attempts share no prefix."""
    return f"{seq:010d}-{attempt}"


def manifest_key(seq: int) -> str:
    """The manifest of batch or publish number `seq`."""
    return f"{MANIFESTS}{_TOP - seq:010d}.json"


def is_manifest(key: str) -> bool:
    """Whether the key is that of a manifest, and not of an object that others put beside the manifests."""
    return bool(_MANIFEST.fullmatch(key))


def is_data_file(key: str) -> bool:
    """Whether a key of the processed bucket is that of a file of rows that a publish wrote."""
    return bool(_DATA_FILE.fullmatch(key))


def is_of_publish(key: str) -> bool:
    """Whether a key of the processed bucket comes from a publish: a file of rows, Spark's _SUCCESS, or the marker of a folder."""
    return is_data_file(key) or bool(_BESIDE_DATA.fullmatch(key))


def raw_prefix(table: str, ingest_date: str, batch_id: str) -> str:
    """Where a batch lands a table's rows; also the location of the raw table's partition (ingest_date, batch_id)."""
    return f"{table}/ingest_date={ingest_date}/batch_id={batch_id}/"


def raw_file_key(prefix: str, number: int) -> str:
    """One file of a table's rows in one batch; `prefix` is the table's raw_prefix."""
    return f"{prefix}{number:05d}.parquet"


def known_keys_key(table: str, batch_id: str) -> str:
    """The key of a 64-bit roaring bitmap: the keys that the source held when the batch was read."""
    return f"_keys/{table}/{batch_id}.roaring64"


def seen_key(table: str, batch_id: str) -> str:
    """The (key, transaction) pairs that the batch read at or above its snapshot's xmin."""
    return f"_seen/{table}/{batch_id}.parquet"


def open_letters_key(table: str, batch_id: str) -> str:
    """The rows in the dead letter that are still at the source as of the batch."""
    return f"_open/{table}/{batch_id}.parquet"


def dead_letter_key(table: str, ingest_date: str, batch_id: str, number: int = 0) -> str:
    """The rows of a table that a batch kept out of the lake."""
    return f"dead_letter/{table}/ingest_date={ingest_date}/batch_id={batch_id}/{number:05d}.jsonl"


def discarded_prefix(table: str) -> str:
    """Where the traces of discarded dead letters are."""
    return f"dead_letter/{table}/discarded/"


def discarded_key(table: str, batch_seq: int, key: int) -> str:
    """The trace of one discarded dead letter: of the row with that key that this batch kept out."""
    return f"{discarded_prefix(table)}{batch_seq:010d}-{key}.json"


def mirror_table(table: str) -> str:
    """The name of the mirror of a source table, which is also its prefix."""
    return f"mirror/{table}"


def mirror_prefix(table: str, publish_id: str) -> str:
    """Where a publish writes the ranges of a source table's mirror that it touched."""
    return f"{mirror_table(table)}/publish_id={publish_id}/"


def star_table(table: str) -> str:
    """The name of a warehouse table in the lake, which is also its prefix."""
    return f"star/{table}"


def star_prefix(table: str, publish_id: str) -> str:
    """Where a publish writes the partitions of a star's table that it touched."""
    return f"{star_table(table)}/publish_id={publish_id}/"


def partition_prefix(prefix: str, name: str, value: str) -> str:
    """One partition below a table's prefix, named as Spark names it when it writes partitioned."""
    return f"{prefix}{name}={value}/"


def uri(bucket: str, key: str) -> str:
    """The s3:// address of a key or prefix."""
    return f"s3://{bucket}/{key}"
