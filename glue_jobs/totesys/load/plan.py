"""What a load has to bring in: the difference between the newest publish and the ledger. Pure values, no client.

What identifies work is the batch. A lake that was made anew from the same ingestion bucket has the same rows in each batch, whatever
the numbers of its publishes are, and any of its publishes goes on where a load from another has ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from totesys.errors import FatalError, RetriableError
from totesys.lake.manifests import NO_PUBLISH, PartitionState, PublishManifest


@dataclass(frozen=True)
class Loaded:
    """One load, as its row of the ledger says; all zero stands for a warehouse before the first.

    lake_id          id of the first batch of the ingestion bucket that all rows come from
    last_record_ids  fact table -> highest record id after the load
    """

    load_seq: int = 0
    publish_seq: int = 0
    publish_id: str = ""
    lake_id: str = ""
    through_batch_seq: int = 0
    last_record_ids: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class LakeRows:
    """Rows of one table of the lake: those of `partitions` whose batch is above `after` and not above `through`."""

    partitions: tuple[PartitionState, ...]
    after: int
    through: int

    @property
    def in_files(self) -> int:
        """Rows in the files of the partitions, as the manifest counts them."""
        return sum(state.rows for state in self.partitions)


@dataclass(frozen=True)
class LoadPlan:
    """One load: which rows of `publish` go in.

    loaded, tombstoned  what the warehouse must still say when they do: its newest load, and the source tables with tombstones
    after_batch_seq     rows of this batch and of older ones are in already, and stay
    stars               warehouse table -> rows to bring in
    mirrors             source table -> rows of its mirror that may make or end tombstones
    """

    publish: PublishManifest
    loaded: Loaded
    tombstoned: frozenset[str]
    after_batch_seq: int
    stars: dict[str, LakeRows]
    mirrors: dict[str, LakeRows]

    def promised_rows(self, table: str) -> int | None:
        """Rows of a star's table to load as the manifest counts them; None where it counts from another batch on."""
        rows, publish = self.stars[table], self.publish
        is_counted = (rows.after, rows.through) == (publish.after_batch_seq, publish.through_batch_seq)
        return publish.new_rows.get(table, 0) if is_counted else None

    def is_revivable(self, source_table: str) -> bool:
        """Whether living rows of the mirror problem too: one may have a tombstone in the warehouse, which then must go."""
        return source_table in self.tombstoned and not self.is_anew(source_table)

    def is_anew(self, source_table: str) -> bool:
        """Whether the table's tombstones are made anew from all of its mirror."""
        return self.mirrors[source_table].after == 0


def plan_load(publish: PublishManifest | None, loaded: Loaded, tombstoned: frozenset[str] = frozenset()) -> LoadPlan | None:
    """What to load; None when the warehouse has it all. Errors as of `check_lake`."""
    publish = publish or NO_PUBLISH
    check_lake(publish, loaded)
    after, through = loaded.through_batch_seq, publish.through_batch_seq
    if through == after:
        return None
    stars = {table: newer_rows(publish.star, table, after, through) for table in publish.star}
    mirrors = {table: mirror_rows(publish, table, after, through, tombstoned) for table in publish.mirror}
    return LoadPlan(
        publish, loaded, tombstoned, after,
        {table: rows for table, rows in stars.items() if rows.partitions},
        {table: rows for table, rows in mirrors.items() if rows.partitions or not after},
    )  # fmt: skip


def check_lake(publish: PublishManifest, loaded: Loaded) -> None:
    """FatalError when the warehouse was loaded from another ingestion bucket, RetriableError when the lake is behind the warehouse."""
    if publish.seq and loaded.load_seq and publish.lake_id != loaded.lake_id:
        raise FatalError(
            f"the warehouse was loaded from the lake that begins with batch {loaded.lake_id}, but this lake begins with batch"
            f" {publish.lake_id}: give the job the bucket that belongs to the warehouse, or make the warehouse anew from this one by"
            " scripts/totesys backfill"
        )
    if publish.through_batch_seq < loaded.through_batch_seq:
        raise RetriableError(
            f"the warehouse holds batch {loaded.through_batch_seq}, but the lake is through batch {publish.through_batch_seq} only, as it"
            " may be after a loss of the processed bucket; nothing was loaded. The next tick's transform brings the lake on from the landed"
            " batches; if they are lost too, scripts/totesys backfill makes the warehouse anew from what the lake has"
        )


def newer_rows(lake: Mapping[str, Mapping[str, PartitionState]], table: str, after: int, through: int) -> LakeRows:
    """The rows of a table above one batch and through another, in the partitions that have any above it."""
    states = lake.get(table, {}).values()
    return LakeRows(tuple(state for state in states if state.max_batch_seq > after), after, through)


def mirror_rows(publish: PublishManifest, table: str, after: int, through: int, tombstoned: frozenset[str] = frozenset()) -> LakeRows:
    """The same of a mirror, in partitions that have a tombstone, or may end one where the warehouse has some of the table."""
    rows = newer_rows(publish.mirror, table, after, through)
    if after and table in tombstoned:
        return rows
    return LakeRows(tuple(state for state in rows.partitions if state.deleted), after, through)
