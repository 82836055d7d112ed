"""Find the maximum age of the changes in a load: the time since the last snapshot that did not have them."""

from __future__ import annotations

from datetime import datetime

from totesys.lake.manifests import PublishManifest, read_publish
from totesys.lake.store import Bucket
from totesys.load.plan import LoadPlan


def changed_since(processed: Bucket, plan: LoadPlan) -> dict[str, datetime]:
    """Return, by source table, a UTC time before all changes that the plan's load brings in. A table's first read has no such time.

    If a load brings in several publishes, the earliest of their times counts.
    """
    since: dict[str, str] = {}
    publish: PublishManifest = plan.publish
    while True:
        for table, at in publish.changed_since.items():
            since[table] = min(since.get(table, at), at)
        if publish.after_batch_seq <= plan.after_batch_seq or not publish.previous_seq:
            return {table: datetime.fromisoformat(at) for table, at in since.items()}
        publish = read_publish(processed, publish.previous_seq)
