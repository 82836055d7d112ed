"""What a comparison has found in one warehouse table."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from operations.values import shorten

LISTED = 20  # differences of one kind that are listed per table; the rest is counted


@dataclass(frozen=True)
class Difference:
    """One difference: in the row with a key, in a column, or in the table as a whole.

    `kind` is missing, waiting (for a parent), dead letter, held (its table), extra, stale, tombstoned, duplicate version, duplicate key,
    broken key, wrong (a day), missing table, missing column, wrong type or not compared.
    """

    table: str
    kind: str
    key: str | None = None
    column: str | None = None
    detail: str = ""

    def __str__(self) -> str:
        place = f"{self.table}.{self.column}" if self.column else self.table
        return f"{place if self.key is None else f'{place} {self.key}'}: {self.kind}{f' ({self.detail})' if self.detail else ''}"


@dataclass
class TableComparison:
    """What a comparison has found in one table. `gone` counts keys that were deleted at the source and that the warehouse keeps.

    `source_rows` is None for the calendar, which comes from no source table, and for a held table.
    """

    table: str
    source_rows: int | None = None
    warehouse_rows: int = 0
    gone: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    listed: list[Difference] = field(default_factory=list)

    @property
    def differences(self) -> int:
        return self.counts.total()

    @property
    def matches(self) -> bool:
        return not self.differences

    @property
    def unlisted(self) -> dict[str, int]:
        """Return how many differences of each kind are counted and not listed."""
        return {kind: count - LISTED for kind, count in self.counts.items() if count > LISTED}

    def add(self, kind: str, *, key: object = None, column: str | None = None, detail: str = "") -> None:
        """Count a difference, and list it unless LISTED differences of its kind are listed already."""
        self.counts[kind] += 1
        if self.counts[kind] <= LISTED:
            self.listed.append(Difference(self.table, kind, None if key is None else shorten(str(key)), column, detail))
