"""What a comparison of one warehouse table has found."""

from __future__ import annotations

from dataclasses import dataclass, field

LISTED = 20  # differences of a table that are listed; the rest is counted


@dataclass(frozen=True)
class Difference:
    """One disagreement: `kind` is missing, extra, stale, duplicate version or wrong."""

    table: str
    key: str
    kind: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.table} {self.key}: {self.kind}{f' ({self.detail})' if self.detail else ''}"


@dataclass
class Comparison:
    """The outcome for one table. `gone` counts the keys that the warehouse keeps though they were deleted at the source."""

    table: str
    source_rows: int | None = None
    warehouse_rows: int = 0
    gone: int = 0
    differences: int = 0
    listed: list[Difference] = field(default_factory=list)

    @property
    def matches(self) -> bool:
        return self.differences == 0

    def add(self, key: object, kind: str, detail: str = "") -> None:
        """Counts a difference, and keeps it for the list while there is room."""
        self.differences += 1
        if len(self.listed) < LISTED:
            self.listed.append(Difference(self.table, str(key), kind, detail))
