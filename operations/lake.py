"""What the manifests in the lake's two buckets say of batches and publishes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from totesys import layout, manifests, waiting
from totesys.manifests import NO_PUBLISH, BatchManifest, PublishManifest
from totesys.store import Bucket

from operations.deployment import Deployment


@dataclass(frozen=True)
class Lake:
    """The two buckets of a deployment."""

    ingestion: Bucket
    processed: Bucket

    @staticmethod
    def open(session: Any, deployment: Deployment) -> Lake:
        s3 = session.client("s3")
        return Lake(Bucket(s3, deployment.ingestion_bucket), Bucket(s3, deployment.processed_bucket))

    def newest_batch(self) -> BatchManifest | None:
        """The newest batch; None before the first."""
        return manifests.newest_batch(self.ingestion)

    def batch(self, seq: int) -> BatchManifest:
        """The batch of that number; FatalError when there is none."""
        return BatchManifest.parse(self.ingestion.get_json(layout.manifest_key(seq)))

    def newest_publish(self) -> PublishManifest:
        """The newest publish; NO_PUBLISH before the first."""
        return manifests.newest_publish(self.processed) or NO_PUBLISH

    def loaded_through(self) -> int:
        """The newest batch that the warehouse holds; 0 before the first load."""
        return waiting.loaded_through(self.processed)

    def is_waiting(self) -> bool:
        """Whether a batch brought something that the warehouse does not hold yet."""
        batch = self.newest_batch()
        return batch is not None and waiting.is_waiting(batch, self.loaded_through())

    def waiting_batches(self) -> list[BatchManifest]:
        """The batches with rows that the warehouse does not hold yet, oldest first."""
        return manifests.batches_after(self.ingestion, self.loaded_through())

    def publishes_above(self, batch_seq: int) -> Iterator[PublishManifest]:
        """The publishes that brought in batches above that number, newest first."""
        publish = self.newest_publish()
        while publish.through_batch_seq > batch_seq:
            yield publish
            publish = manifests.read_publish(self.processed, publish.previous_seq) if publish.previous_seq else NO_PUBLISH


def span(first: int, last: int) -> str:
    """A row of batches in words."""
    return f"batch {last}" if first == last else f"batches {first} to {last}"
