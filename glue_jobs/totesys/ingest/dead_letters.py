"""Dead letters: single rows that are kept out of the lake. They are written where a person can read them.

A dead letter is open while it holds the newest version of its key at the source. Only open letters are remembered. A row that is
corrected at the source arrives like any other change, and that closes its letter.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
from pyroaring import BitMap64

from totesys.contracts import UNREADABLE, Contract
from totesys.ingest.capture import Draft
from totesys.ingest.checks import reasons
from totesys.ingest.keys import add_keys, holds
from totesys.ingest.landing import local_disk
from totesys.ingest.small_tables import load_table, save_table
from totesys.lake import layout
from totesys.lake.formats import DEAD_LETTER, OPEN_LETTERS, refuse_newer, with_format
from totesys.lake.manifests import DeadLetters
from totesys.lake.store import Bucket

OPEN = pa.schema([("key", pa.int64()), ("source_xid", pa.int64()), ("batch_seq", pa.int64()), ("reason", pa.string())])


class LetterFile:
    """The letters of one table in one batch, one JSON object per line. Leaving the context without `finish` discards them."""

    def __init__(self, bucket: Bucket, contract: Contract, draft: Draft) -> None:
        self.rows = 0
        self._bucket = bucket
        self._contract = contract
        self._draft = draft
        self._folder: TemporaryDirectory[str] | None = None
        self._file: IO[str] | None = None

    def __enter__(self) -> LetterFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._file:
            self._file.close()
        if self._folder:
            self._folder.cleanup()

    def write(self, key: Any, reason: str, row: str) -> None:
        """Add one row with the reason. `row` is a JSON object in one line. It is not parsed, since that would round numbers."""
        with local_disk():
            if self._file is None:
                self._folder = TemporaryDirectory(prefix="totesys-ingest-")
                self._file = (Path(self._folder.name) / "letters.jsonl").open("w", encoding="utf-8")
            letter = with_format(
                DEAD_LETTER,
                {
                    "table": self._contract.table,
                    "key": key,
                    "reason": reason,
                    "contract_version": self._contract.version,
                    "batch_seq": self._draft.seq,
                    "batch_id": self._draft.batch_id,
                    "snapshot_at": self._draft.snapshot.taken_at,
                },
            )
            self._file.write(f'{json.dumps(letter, ensure_ascii=False)[:-1]}, "row": {row}}}\n')
        self.rows += 1

    def finish(self) -> None:
        """Upload the letters."""
        if self._file:
            with local_disk():
                self._file.close()
            self._bucket.upload(
                self._file.name, layout.dead_letter_key(self._contract.table, self._draft.snapshot.date, self._draft.batch_id)
            )


class Sorting:
    """Separates the rows of one table in one batch into good rows and dead letters, and records which letters are open."""

    def __init__(self, bucket: Bucket, contract: Contract, draft: Draft, before: DeadLetters | None) -> None:
        self._bucket = bucket
        self._contract = contract
        self._draft = draft
        self._before = load_open(bucket, before) if before else OPEN.empty_table()
        self._known = {(key, xid): seq for key, xid, seq in zip(*(self._before[name].to_pylist() for name in OPEN.names[:3]))}
        self._read = BitMap64()
        self._bad: list[pa.RecordBatch] = []
        self._letters = LetterFile(bucket, contract, draft)

    def __enter__(self) -> Sorting:
        return self

    def __exit__(self, *raised: Any) -> None:
        self._letters.__exit__(*raised)

    def good(self, batch: pa.RecordBatch, keys: pa.Array) -> pa.RecordBatch:
        """Return the good rows, without the column `unreadable`. `keys` are the rows' keys (totesys.ingest.keys)."""
        if self._known:
            add_keys(self._read, keys)
        why = reasons(batch, self._contract)
        if why is None:
            return _without_unreadable(batch)
        is_bad = why.is_valid()
        self._set_aside(batch.filter(is_bad), keys.filter(is_bad), why.filter(is_bad))
        return _without_unreadable(batch.filter(pc.invert(is_bad)))

    def finish(self, mode: str) -> DeadLetters | None:
        """Upload the letters and the list of open letters. After a full read, only the letters that it found are open."""
        self._letters.finish()
        open_ = pa.Table.from_batches(self._bad, OPEN)
        if mode == "delta":
            is_left = pa.array([not holds(self._read, key) for key in self._before["key"].to_pylist()], pa.bool_())
            open_ = pa.concat_tables([self._before.filter(is_left), open_])
        if not open_.num_rows:
            return None
        key = layout.open_letters_key(self._contract.table, self._draft.batch_id)
        save_table(self._bucket, key, open_)
        return DeadLetters(key, open_.num_rows, self._letters.rows)

    def _set_aside(self, rows: pa.RecordBatch, keys: pa.Array, why: pa.Array) -> None:
        """Put rows into the dead letter. A row version that is already there is not written again."""
        xids = rows.column("source_xid")
        seqs = []
        for key, xid, reason, row in zip(keys.to_pylist(), xids.to_pylist(), why.to_pylist(), _readable(rows, self._contract)):
            seq = self._known.get((key, xid))
            if seq is None:
                self._letters.write(key, reason, json.dumps(row, default=str, ensure_ascii=False))
            seqs.append(self._draft.seq if seq is None else seq)
        self._bad.append(pa.record_batch([keys, xids, pa.array(seqs, pa.int64()), why], schema=OPEN))


def load_open(bucket: Bucket, dead: DeadLetters) -> pa.Table:
    """Return the open letters: key, source_xid, the batch that wrote the letter, and the reason. FatalError when they cannot be read."""
    refuse_newer(bucket.address(dead.open_letters), dead.format, OPEN_LETTERS)
    letters = load_table(bucket, dead.open_letters, OPEN)
    if letters.num_rows != dead.rows:
        raise bucket.damaged(dead.open_letters, f"it lists {letters.num_rows} rows, and the manifest says {dead.rows}")
    return letters


def write_whole(letters: LetterFile, reason: str, rows: Iterable[tuple[str | None, int, str]]) -> None:
    """Write rows of a table that does not match its contract. `rows` yields key, transaction and JSON text, as the source has them."""
    for key, _, text in rows:
        letters.write(int(key) if key and key.lstrip("-").isdigit() else key, reason, text)


def _readable(rows: pa.RecordBatch, contract: Contract) -> Iterator[dict[str, Any]]:
    """Yield the rows with the source's values, including the values that do not fit the contract."""
    names = [column.name for column in contract.columns]
    for row in rows.to_pylist():
        yield {**{name: row[name] for name in names}, **json.loads(row[UNREADABLE] or "{}")}


def _without_unreadable(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.select([name for name in batch.schema.names if name != UNREADABLE])
