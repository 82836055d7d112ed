"""The lines of `list`: what is kept back, and what settles it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from totesys.lake.manifests import Held

from operations.dead_letters.letters import TableLetters
from operations.dead_letters.waiting import Waiting

COLUMNS = [("source table", "left"), ("what", "left"), ("since batch", "right"), ("what settles it", "left")]


def held_lines(held: Mapping[str, tuple[Held, int]]) -> Iterator[list[str]]:
    """Of each held table the hold and its first batch."""
    for table, (why, batch_seq) in sorted(held.items()):
        rows = f"; {counted(why.dead_rows)} in the dead letter" if why.dead_rows else ""
        yield [table, f"held since {why.since}: {why.reason}{rows}", str(batch_seq), why.cure]


def letter_lines(letters: Mapping[str, TableLetters]) -> Iterator[list[str]]:
    """The open letters of each table by reason."""
    for table, found in sorted(letters.items()):
        for reason in sorted({letter.reason for letter in found.open}):
            batches = [letter.batch_seq for letter in found.open if letter.reason == reason]
            cure = f"put them right at the source: scripts/deadletters.sh show {table}"
            yield [table, f"{counted(len(batches))}: {reason}", str(min(batches)), cure]


def waiting_lines(waiting: Iterable[Waiting]) -> Iterator[list[str]]:
    """The rows that wait in the warehouse."""
    for one in waiting:
        parents = ", ".join(one.parents) or "an earlier version of theirs"
        what = f"{counted(one.rows)} wait{'s' if one.rows == 1 else ''} in the warehouse for {parents}"
        yield [one.table, what, str(one.batch_seq), "nothing: in by themselves once their parents are"]


def discarded_line(letters: Mapping[str, TableLetters]) -> str | None:
    """How many letters of each table a person has discarded; None when there are none."""
    counts = [f"{len(found.discarded)} of {table}" for table, found in sorted(letters.items()) if found.discarded]
    return f"discarded, and still not in: {', '.join(counts)}" if counts else None


def counted(rows: int) -> str:
    """A number of rows in words."""
    return f"{rows:,} row{'' if rows == 1 else 's'}"
