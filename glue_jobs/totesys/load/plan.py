"""Plan a load: the difference between the newest publish and the ledger. Pure values, no client.

Work is identified by its batch. A lake that was rebuilt from the same ingestion bucket has the same rows in each batch, whatever the
numbers of its publishes are. So a load from any of its publishes continues where an earlier load has ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from totesys.errors import FatalError, RetriableError
from totesys.lake.manifests import NO_PUBLISH, PartitionState, PublishManifest


@dataclass(frozen=True)
class Loaded:
    """One load, as its row of the ledger says. All fields are zero before the first load.

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
    """Rows of one lake table: the rows in `partitions` of the batches above `after`, up to `through`."""

    partitions: tuple[PartitionState, ...]
    after: int
    through: int

    @property
    def in_files(self) -> int:
        """Return the rows in the files of the partitions, as the manifest counts them."""
        return sum(state.rows for state in self.partitions)


@dataclass(frozen=True)
class LoadPlan:
    """One load: the rows of `publish` to bring in.

    loaded           the warehouse's newest load when the plan was made; it must not have changed when the rows go in
    tombstoned       the source tables with tombstones when the plan was made; likewise
    after_batch_seq  rows of this batch and of older batches are in the warehouse already, and stay
    stars            warehouse table -> rows to bring in
    mirrors          source table -> rows of its mirror that may add or remove tombstones
    """

    publish: PublishManifest
    loaded: Loaded
    tombstoned: frozenset[str]
    after_batch_seq: int
    stars: dict[str, LakeRows]
    mirrors: dict[str, LakeRows]

    def promised_rows(self, table: str) -> int | None:
        """Return how many rows of a star's table the manifest says are new; None if it counts from a different batch."""
        rows, publish = self.stars[table], self.publish
        is_counted = (rows.after, rows.through) == (publish.after_batch_seq, publish.through_batch_seq)
        return publish.new_rows.get(table, 0) if is_counted else None

    def is_revivable(self, source_table: str) -> bool:
        """Return whether living rows of the mirror are needed too: their keys may have tombstones, which must be removed."""
        return source_table in self.tombstoned and not self.is_rebuilt(source_table)

    def is_rebuilt(self, source_table: str) -> bool:
        """Return whether the table's tombstones are rebuilt from its whole mirror."""
        return self.mirrors[source_table].after == 0


def plan_load(publish: PublishManifest | None, loaded: Loaded, tombstoned: frozenset[str] = frozenset()) -> LoadPlan | None:
    """Return what to load; None when the warehouse holds everything. Errors as of `check_lake`."""
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
    """Check that the lake fits the warehouse.

    FatalError when the warehouse was loaded from another ingestion bucket. RetriableError when the lake is behind the warehouse.
    """
    if publish.seq and loaded.load_seq and publish.lake_id != loaded.lake_id:
        raise FatalError(
            f"the warehouse was loaded from the lake that begins with batch {loaded.lake_id}, but this lake begins with batch"
            f" {publish.lake_id}: give the job the bucket that belongs to the warehouse, or rebuild the warehouse from this lake with"
            " scripts/totesys backfill"
        )
    if publish.through_batch_seq < loaded.through_batch_seq:
        raise RetriableError(
            f"the warehouse holds batch {loaded.through_batch_seq}, but the lake only holds batches through {publish.through_batch_seq}."
            " The processed bucket may have been lost. Nothing was loaded: the next tick's transform rebuilds the lake from the landed"
            " batches. If they are lost too, rebuild the warehouse from this lake with scripts/totesys backfill"
        )


def newer_rows(lake: Mapping[str, Mapping[str, PartitionState]], table: str, after: int, through: int) -> LakeRows:
    """Return the rows of a table above batch `after`, up to batch `through`, in the partitions that have rows above `after`."""
    states = lake.get(table, {}).values()
    return LakeRows(tuple(state for state in states if state.max_batch_seq > after), after, through)


def mirror_rows(publish: PublishManifest, table: str, after: int, through: int, tombstoned: frozenset[str] = frozenset()) -> LakeRows:
    """Return the rows of a mirror, from those partitions that contain a tombstone or could remove one.

    A partition can remove a tombstone only if the warehouse has tombstones of the table.
    """
    rows = newer_rows(publish.mirror, table, after, through)
    if after and table in tombstoned:
        return rows
    return LakeRows(tuple(state for state in rows.partitions if state.deleted), after, through)
