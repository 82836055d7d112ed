"""What is said after a tick: what it loaded, and what needs a person though no job failed."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from totesys.lake.manifests import Held
from totesys.runtime.alerts import Alert

from operations.console import make_table
from operations.lake import span
from operations.run.tick import Outcome


def print_outcome(console: Console, outcome: Outcome | None, unknown: str) -> None:
    """Says what is loaded, with the rows of each table that took any. `unknown`: why the warehouse could not be asked, or empty."""
    if outcome is None:
        known = "nothing new: the warehouse holds every batch"
        console.print(f"nothing new has landed; what the warehouse holds is not known from here: {unknown}" if unknown else known)
        return
    if rows := [[table, f"{count:,}"] for table, count in outcome.loaded.items() if count]:
        console.print(make_table([("warehouse table", "left"), ("new or changed rows", "right")], rows))
    batches = span(outcome.first_batch, outcome.through_batch)
    console.print(f"loaded {batches}: {outcome.landed.total():,} rows read, {outcome.loaded.total():,} warehouse rows new or changed")


@dataclass(frozen=True)
class Matter:
    """Something that needs a person: `what` in a few words, and in `text` with what to do."""

    what: str
    text: str


def matters(held: Mapping[str, Held], news: Sequence[Alert], misses: Mapping[str, int]) -> list[Matter]:
    """The tables that are held back, what else the tick's batches alerted people of, and the rows that deltas have missed."""
    return [
        *(_held(table, why) for table, why in sorted(held.items())),
        *(Matter(f"{alert.table}: {alert.kind}", alert.text) for alert in news if alert.kind != "table held"),
        *(_missed(table, rows) for table, rows in sorted(misses.items())),
    ]


def print_matters(console: Console, found: Sequence[Matter]) -> None:
    """Lists what needs a person, and says so on stderr too: it is seen although the exit code is 0, and wherever the output goes."""
    for matter in found:
        console.print(f"needs a person: {matter.text}", markup=False)
    if found:
        print(f"run: needs a person: {'; '.join(matter.what for matter in found)}", file=sys.stderr)


def _held(table: str, why: Held) -> Matter:
    return Matter(
        f"{table} is held back",
        f"{table} is held back since {why.since}, and nothing of it is lost: {why.reason}. What to do: {why.cure}",
    )


def _missed(table: str, rows: int) -> Matter:
    what = f"a full read found {rows:,} row{'' if rows == 1 else 's'} of {table} that no delta had offered"
    return Matter(what, f"{what}: they are in now; report it")
