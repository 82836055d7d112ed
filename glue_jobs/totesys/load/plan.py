"""What a load has to bring in: the difference between the newest publish and the ledger. Pure values, no client."""

from __future__ import annotations

from dataclasses import dataclass

from totesys.errors import FatalError
from totesys.manifests import NO_PUBLISH, PartitionState, PublishManifest


@dataclass(frozen=True)
class Loaded:
    """The newest publish that is in the warehouse, as its ledger says; all zero while it is empty."""

    publish_seq: int = 0
    publish_id: str = ""
    through_batch_seq: int = 0


@dataclass(frozen=True)
class Plan:
    """One load: the rows of `publish` whose batch_seq is above that of `loaded`.

    partitions  warehouse table -> the partitions of the lake that hold such rows; tables without any are absent
    """

    publish: PublishManifest
    loaded: Loaded
    partitions: dict[str, list[PartitionState]]

    @property
    def after_batch_seq(self) -> int:
        """Rows of this batch and of older ones are in the warehouse already."""
        return self.loaded.through_batch_seq

    def promised_rows(self, table: str) -> int | None:
        """Rows of the table to load as the manifest counts them; None when several publishes go in at once, which no manifest counts."""
        return self.publish.new_rows.get(table, 0) if self.publish.seq == self.loaded.publish_seq + 1 else None


def plan_load(publish: PublishManifest | None, loaded: Loaded) -> Plan | None:
    """What to load; None when the warehouse has it all. FatalError when the warehouse is ahead of the lake."""
    if publish is None:
        publish = NO_PUBLISH
    same_publish = publish.seq == loaded.publish_seq
    if publish.seq < loaded.publish_seq or publish.through_batch_seq < loaded.through_batch_seq or (
        same_publish and publish.publish_id != loaded.publish_id
    ):  # fmt: skip
        raise FatalError(
            f"the warehouse holds publish {loaded.publish_seq} ({loaded.publish_id or 'none'}) through batch {loaded.through_batch_seq},"
            f" but the newest of the lake is publish {publish.seq} ({publish.publish_id or 'none'}) through batch"
            f" {publish.through_batch_seq}: the processed bucket was rebuilt or is another one."
            " Restore the bucket, or empty the warehouse (its tables and schema etl) to load it afresh"
        )
    if publish.through_batch_seq == loaded.through_batch_seq:
        return None
    waiting = {
        table: [state for state in partitions.values() if state.max_batch_seq > loaded.through_batch_seq]
        for table, partitions in publish.warehouse.items()
    }
    return Plan(publish, loaded, {table: states for table, states in waiting.items() if states})
