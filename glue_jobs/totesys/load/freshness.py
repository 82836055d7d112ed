"""How old a change can have been when its load committed: from the last snapshot that did not have it."""

from __future__ import annotations

from datetime import datetime

from totesys.lake.manifests import PublishManifest, read_publish
from totesys.lake.store import Bucket
from totesys.load.plan import LoadPlan


def changed_since(processed: Bucket, plan: LoadPlan) -> dict[str, datetime]:
    """By source table, the UTC time after which everything was committed that the plan's load brought in; not of tables read first.

    A load may bring in several publishes: then the earliest time of them all counts.
    """
    since: dict[str, str] = {}
    publish: PublishManifest = plan.publish
    while True:
        for table, at in publish.changed_since.items():
            since[table] = min(since.get(table, at), at)
        if publish.after_batch_seq <= plan.after_batch_seq or not publish.previous_seq:
            return {table: datetime.fromisoformat(at) for table, at in since.items()}
        publish = read_publish(processed, publish.previous_seq)
