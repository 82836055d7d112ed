"""Build S3 keys. No other module does.

Ingestion bucket (raw, immutable)
    <table>/ingest_date=YYYY-MM-DD/batch_id=<id>/<nnnnn>.parquet   rows of one table in one batch
    _keys/<table>/<batch id>.roaring64                             the keys that the source held at that batch
    _seen/<table>/<batch id>.parquet                               row versions already read that a later snapshot may offer again
    _open/<table>/<batch id>.parquet                               rows in the dead letter that are still at the source
    dead_letter/<table>/ingest_date=YYYY-MM-DD/batch_id=<id>/*.jsonl  rows that a batch kept out, readable, with the reason
    dead_letter/<table>/discarded/<batch>-<key>.json               a person's decision to discard a dead letter
    _manifests/<inverted number>.json                              a batch's manifest: its commit

Processed bucket
    star/<warehouse table>/publish_id=<id>/<partition>=<value>/*.parquet  the three stars
    mirror/<source table>/publish_id=<id>/key_range=<n>/*.parquet  the mirror of the source
    _manifests/<inverted number>.json                              a publish's manifest: its commit

Manifests are numbered downwards, so that the newest is the first below its prefix. One request finds it, however many there are.

Other tools may put objects below any prefix: a console makes folder markers, a sync copies .DS_Store. Ours are recognised by name.
"""

from __future__ import annotations

import re

MANIFESTS = "_manifests/"
DATA_FILES = "part-*"  # the names that Spark gives to files of rows, as a glob
_TOP = 10**10 - 1  # more numbers than five-minute ticks in 95,000 years
_MANIFEST = re.compile(r"_manifests/[0-9]{10}\.json")
_DATA_FILE = re.compile(r"(mirror|star)/[^/]+/publish_id=[^/]+/(.+/)?part-[^/]+")
_BESIDE_DATA = re.compile(r"(mirror|star)/[^/]+/publish_id=[^/]+/(.+/)?(_SUCCESS)?")  # objects without rows, from Spark or S3 clients


def run_id(seq: int, attempt: str) -> str:
    """Return the id of a batch or publish. Its number makes ids sort by time; its attempt keeps racing attempts apart."""
    return f"{seq:010d}-{attempt}"


def manifest_key(seq: int) -> str:
    """Return the key of the manifest of batch or publish number `seq`."""
    return f"{MANIFESTS}{_TOP - seq:010d}.json"


def is_manifest(key: str) -> bool:
    """Return whether the key is a manifest's, and not that of a foreign object beside the manifests."""
    return bool(_MANIFEST.fullmatch(key))


def is_data_file(key: str) -> bool:
    """Return whether a key of the processed bucket is a file of rows that a publish wrote."""
    return bool(_DATA_FILE.fullmatch(key))


def is_of_publish(key: str) -> bool:
    """Return whether a key of the processed bucket comes from a publish: a file of rows, Spark's _SUCCESS, or a folder marker."""
    return is_data_file(key) or bool(_BESIDE_DATA.fullmatch(key))


def raw_prefix(table: str, ingest_date: str, batch_id: str) -> str:
    """Return where a batch lands a table's rows. It is also the location of the raw table's partition (ingest_date, batch_id)."""
    return f"{table}/ingest_date={ingest_date}/batch_id={batch_id}/"


def raw_file_key(prefix: str, number: int) -> str:
    """One file of a table's rows in one batch; `prefix` is the table's raw_prefix."""
    return f"{prefix}{number:05d}.parquet"


def known_keys_key(table: str, batch_id: str) -> str:
    """Return where a batch's key set is: the keys that the source held, as a 64-bit roaring bitmap."""
    return f"_keys/{table}/{batch_id}.roaring64"


def seen_key(table: str, batch_id: str) -> str:
    """Return where the (key, transaction) pairs are that the batch read at or above its snapshot's xmin."""
    return f"_seen/{table}/{batch_id}.parquet"


def open_letters_key(table: str, batch_id: str) -> str:
    """Return where the list of open dead letters is, as of the batch."""
    return f"_open/{table}/{batch_id}.parquet"


def dead_letter_key(table: str, ingest_date: str, batch_id: str, number: int = 0) -> str:
    """Return where the rows of a table are that a batch kept out of the lake."""
    return f"dead_letter/{table}/ingest_date={ingest_date}/batch_id={batch_id}/{number:05d}.jsonl"


def discarded_prefix(table: str) -> str:
    """Return where the records of a table's discarded dead letters are."""
    return f"dead_letter/{table}/discarded/"


def discarded_key(table: str, batch_seq: int, key: int) -> str:
    """Return where the record of one discarded dead letter is: of the row with this key that this batch kept out."""
    return f"{discarded_prefix(table)}{batch_seq:010d}-{key}.json"


def mirror_table(table: str) -> str:
    """Return the name of a source table's mirror, which is also its prefix."""
    return f"mirror/{table}"


def mirror_prefix(table: str, publish_id: str) -> str:
    """Return where a publish writes the key ranges of a mirror that it touches."""
    return f"{mirror_table(table)}/publish_id={publish_id}/"


def star_table(table: str) -> str:
    """Return the name of a warehouse table in the lake, which is also its prefix."""
    return f"star/{table}"


def star_prefix(table: str, publish_id: str) -> str:
    """Return where a publish writes the partitions of a star's table that it touches."""
    return f"{star_table(table)}/publish_id={publish_id}/"


def partition_prefix(prefix: str, name: str, value: str) -> str:
    """Return the prefix of one partition below a table's prefix, named as Spark names it."""
    return f"{prefix}{name}={value}/"


def uri(bucket: str, key: str) -> str:
    """Return the s3:// address of a key or prefix."""
    return f"s3://{bucket}/{key}"
