"""What is kept out of the lake or of the warehouse, and what settles it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import boto3
from totesys.contracts import load_contracts
from totesys.errors import PipelineError
from totesys.lake.manifests import BatchManifest, Held
from totesys.runtime.secrets import read_credentials

from operations.dead_letters.letters import Letters, TableLetters
from operations.dead_letters.waiting import Waiting, read_waiting
from operations.deployment.deployment import Deployment
from operations.lake import Lake
from operations.reconcile.databases import snapshot
from operations.status.attention import held_since, put_right
from operations.values import counted


@dataclass(frozen=True)
class Line:
    """One entry of the list: the source table, what is kept out, the first batch that kept it out, and what settles it."""

    table: str
    what: str
    since_batch: int
    cure: str


@dataclass(frozen=True)
class Listing:
    """Everything that is kept out.

    discarded   source table -> how many letters a person has discarded
    unreachable why the warehouse could not be asked for waiting rows; None when it has answered
    """

    lines: list[Line]
    discarded: dict[str, int]
    unreachable: PipelineError | None


def list_kept_out(session: boto3.Session, deployment: Deployment, lake: Lake, batch: BatchManifest) -> Listing:
    """List everything as of the newest batch. If the warehouse cannot be asked, list what the lake knows."""
    letters = Letters(lake.ingestion, batch)
    found = {table: letters.of(table) for table in batch.tables}
    lines = [*held_lines({table: (why, letters.held_since(table)) for table, why in batch.held.items()}), *letter_lines(found)]
    unreachable = None
    try:
        lines += waiting_lines(_waiting(session, deployment))
    except PipelineError as error:
        unreachable = error
    return Listing(lines, {table: len(letters.discarded) for table, letters in sorted(found.items()) if letters.discarded}, unreachable)


def held_lines(held: Mapping[str, tuple[Held, int]]) -> Iterator[Line]:
    """Yield the hold of each held table, with its first batch."""
    for table, (why, batch_seq) in sorted(held.items()):
        rows = f"; {counted(why.dead_rows)} in the dead letter" if why.dead_rows else ""
        yield Line(table, f"{held_since(why)}{rows}", batch_seq, why.cure)


def letter_lines(letters: Mapping[str, TableLetters]) -> Iterator[Line]:
    """Yield the open letters of each table, by reason."""
    for table, found in sorted(letters.items()):
        for reason in sorted({letter.reason for letter in found.open}):
            batches = [letter.batch_seq for letter in found.open if letter.reason == reason]
            yield Line(table, f"{counted(len(batches))}: {reason}", min(batches), put_right(table))


def waiting_lines(waiting: Iterable[Waiting]) -> Iterator[Line]:
    """Yield the rows that wait in the warehouse."""
    for one in waiting:
        parents = ", ".join(one.parents) or "an earlier version of the same row"
        what = f"{counted(one.rows)} wait{'s' if one.rows == 1 else ''} in the warehouse for {parents}"
        yield Line(one.table, what, one.batch_seq, "nothing: they are loaded once their parents are there")


def _waiting(session: boto3.Session, deployment: Deployment) -> Sequence[Waiting]:
    credentials = read_credentials(session.client("secretsmanager"), deployment.warehouse_secret)
    with snapshot(credentials, "warehouse") as warehouse:
        return tuple(read_waiting(warehouse, load_contracts()))
