"""Read batches and publishes from the manifests in the two buckets, and ask the warehouse which batch it holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import takewhile

import boto3
from totesys.errors import FatalError
from totesys.ingest.pending import Progress, progress
from totesys.lake import manifests
from totesys.lake.manifests import NO_PUBLISH, BatchManifest, PublishManifest
from totesys.lake.store import Bucket
from totesys.runtime.secrets import read_credentials
from totesys.warehouse.state import loaded_through

from operations.deployment.deployment import Deployment


@dataclass(frozen=True)
class Lake:
    """The two buckets of a deployment. `loaded_through` asks the warehouse for the newest batch that it holds."""

    ingestion: Bucket
    processed: Bucket
    loaded_through: Callable[[], int]

    @staticmethod
    def open(session: boto3.Session, deployment: Deployment) -> Lake:
        s3 = session.client("s3")

        def ask() -> int:
            return loaded_through(read_credentials(session.client("secretsmanager"), deployment.warehouse_secret))

        return Lake(Bucket(s3, deployment.ingestion_bucket), Bucket(s3, deployment.processed_bucket), ask)

    def newest_batch(self) -> BatchManifest | None:
        """Return the newest batch; None before the first."""
        return manifests.newest_batch(self.ingestion)

    def expect_batch(self) -> BatchManifest:
        """Return the newest batch. FatalError before the first."""
        batch = self.newest_batch()
        if batch is None:
            raise FatalError("no batch has landed yet: run scripts/totesys run")
        return batch

    def batch(self, seq: int) -> BatchManifest:
        """Return a batch. FatalError when there is none of that number."""
        return manifests.read_batch(self.ingestion, seq)

    def newest_publish(self) -> PublishManifest:
        """Return the newest publish; NO_PUBLISH before the first."""
        return manifests.newest_publish(self.processed) or NO_PUBLISH

    def newest_data_seq(self) -> int:
        """Return the number of the newest batch with rows; 0 before the first."""
        batch = self.newest_batch()
        return batch.data_seq if batch else 0

    def progress(self) -> Progress:
        """Return how far the warehouse is loaded. If it cannot be reached from here: how far the lake is published, and the error.

        FatalError when the warehouse refuses to answer, or holds a batch that has not landed.
        """
        reached = progress(self.loaded_through, self.newest_data_seq, self.processed)
        if isinstance(reached.unknown, FatalError):
            raise reached.unknown
        return reached

    def is_pending(self) -> bool:
        """Whether a batch with rows is not loaded yet. If the warehouse cannot be asked: whether it is not published yet."""
        through = self.progress().through
        return self.newest_data_seq() > through

    def pending_batches(self) -> list[BatchManifest]:
        """Return the batches with rows that the warehouse does not hold yet, oldest first. PipelineError when it cannot be asked."""
        return manifests.batches_after(self.ingestion, self.loaded_through())

    def publishes_above(self, batch_seq: int) -> Iterator[PublishManifest]:
        """Return the publishes with batches above a number, newest first."""
        return takewhile(lambda publish: publish.through_batch_seq > batch_seq, publishes(self.processed))


def publishes(processed: Bucket) -> Iterator[PublishManifest]:
    """Yield the publishes, newest first."""
    publish = manifests.newest_publish(processed)
    while publish:
        yield publish
        publish = manifests.read_publish(processed, publish.previous_seq) if publish.previous_seq else None


def span(first: int, last: int) -> str:
    """Return a range of batches in words."""
    return f"batch {last}" if first == last else f"batches {first} to {last}"
