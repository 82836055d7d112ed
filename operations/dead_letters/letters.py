"""Dead letters as the ingestion bucket has them."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

from totesys.ingest.dead_letters import load_open
from totesys.lake import layout
from totesys.lake.formats import DEAD_LETTER, make_of
from totesys.lake.manifests import BatchManifest, read_batch
from totesys.lake.store import Bucket

_FIELDS = {"key", "reason", "contract_version", "batch_seq", "snapshot_at", "row"}  # what every letter has


@dataclass(frozen=True)
class Letter:
    """The newest version of a key at the source, which breaks the contract. `batch_seq` is the batch that kept it out."""

    key: int
    source_xid: int
    batch_seq: int
    reason: str


@dataclass(frozen=True)
class TableLetters:
    """The letters of one source table that are open, and those among them that a person has discarded."""

    open: tuple[Letter, ...] = ()
    discarded: tuple[Letter, ...] = ()


class Letters:
    """The letters as of the newest batch."""

    def __init__(self, ingestion: Bucket, newest: BatchManifest) -> None:
        self._ingestion = ingestion
        self._newest = newest
        self._batch = lru_cache(maxsize=None)(self._read_batch)

    def of(self, table: str) -> TableLetters:
        """The letters of one table."""
        capture = self._newest.tables.get(table)
        if capture is None or capture.dead_letters is None:
            return TableLetters()
        letters = [Letter(**row) for row in load_open(self._ingestion, capture.dead_letters).to_pylist()]
        traces = {key for key, _ in self._ingestion.objects(layout.discarded_prefix(table))}
        done = {letter for letter in letters if layout.discarded_key(table, letter.batch_seq, letter.key) in traces}
        return TableLetters(
            tuple(letter for letter in letters if letter not in done), tuple(letter for letter in letters if letter in done)
        )

    def held_since(self, table: str) -> int:
        """Return the first batch of the hold of a table that is held now."""
        return bisect_left(range(1, self._newest.seq + 1), True, key=lambda seq: self._is_of_hold(table, seq)) + 1

    def read(self, table: str) -> Iterator[tuple[dict[str, Any], str]]:
        """Yield the open letters and the letters of the present hold, each with the address of its object, in the order of batches."""
        wanted = {(letter.batch_seq, letter.key) for letter in self.of(table).open}
        of_hold = set(rises(lambda seq: self._dead_rows(table, seq), 0, self._newest.seq)) if table in self._newest.held else set()
        for seq in sorted({seq for seq, _ in wanted} | of_hold):
            batch = self._batch(seq)
            key = layout.dead_letter_key(table, batch.ingest_date, batch.batch_id)
            for letter in self._written(key):
                if seq in of_hold or (seq, letter["key"]) in wanted:
                    yield letter, layout.uri(self._ingestion.name, key)

    def _written(self, key: str) -> list[dict[str, Any]]:
        """Return the letters in one object. FatalError that names the object when they cannot be read."""
        lines = self._ingestion.get(key).rstrip(b"\n").split(b"\n")  # not splitlines: a value may contain other line breaks of Unicode
        try:
            letters = [json.loads(line, parse_float=Decimal) for line in lines]
        except ValueError as error:
            raise self._ingestion.damaged(key, "its lines are not JSON") from error
        return [make_of(self._ingestion, key, letter, DEAD_LETTER, _checked) for letter in letters]

    def _dead_rows(self, table: str, seq: int) -> int:
        """Return how many rows the present hold had put into the dead letter up to a batch."""
        return self._batch(seq).held[table].dead_rows if seq and self._is_of_hold(table, seq) else 0

    def _is_of_hold(self, table: str, seq: int) -> bool:
        held = self._batch(seq).held.get(table)
        return held is not None and held.since == self._newest.held[table].since

    def _read_batch(self, seq: int) -> BatchManifest:
        return read_batch(self._ingestion, seq)


def _checked(letter: dict[str, Any]) -> dict[str, Any]:
    if lacking := sorted(_FIELDS - letter.keys()):
        raise ValueError(f"a line lacks {', '.join(lacking)}")
    return letter


def rises(count: Callable[[int], int], low: int, high: int) -> Iterator[int]:
    """Return the numbers above `low`, up to `high`, at which a count rises. The count never falls, so a few calls find them."""
    if count(low) == count(high):
        return
    if high - low == 1:
        yield high
        return
    middle = (low + high) // 2
    yield from rises(count, low, middle)
    yield from rises(count, middle, high)
