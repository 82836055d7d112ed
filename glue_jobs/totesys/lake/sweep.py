"""Delete data that no publish of the last day refers to: replaced partitions, and files that failed runs left behind.

A query that runs while a pointer moves still reads the old prefix, so a replaced prefix is kept for a day. Manifests are never deleted.
Objects whose names are not a publish's are never deleted either: they are foreign.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from totesys.lake import layout, manifests
from totesys.lake.manifests import PublishManifest
from totesys.lake.store import Bucket

log = logging.getLogger(__name__)

KEPT_FOR = timedelta(days=1)


def is_due(previous: PublishManifest, now: datetime) -> bool:
    """Return whether the publish at `now` is the first of its UTC day. Then it sweeps."""
    return previous.published_at[:10] != now.isoformat()[:10]


def sweep(processed: Bucket, newest: PublishManifest, now: datetime) -> int:
    """Delete the data that is older than a day and that no publish of the last day refers to. Return the number of objects."""
    kept = _prefixes_in_use(processed, newest, now)
    doomed = [
        key
        for key, modified_at in processed.objects("")
        if modified_at < now - KEPT_FOR and layout.is_of_publish(key) and _prefix(key) not in kept
    ]
    processed.delete(doomed)
    log.info("deleted %d objects that no publish of the last day refers to", len(doomed))
    return len(doomed)


def _prefixes_in_use(processed: Bucket, newest: PublishManifest, now: datetime) -> set[str]:
    """Return the prefixes of every publish that was the newest at some time during the last day."""
    kept: set[str] = set()
    publish = newest
    while True:
        for partitions in (*publish.mirror.values(), *publish.star.values()):
            kept.update(state.prefix for state in partitions.values())
        if not publish.previous_seq or datetime.fromisoformat(publish.published_at) < now - KEPT_FOR:
            return kept
        publish = manifests.read_publish(processed, publish.previous_seq)


def _prefix(key: str) -> str:
    return key[: key.rindex("/") + 1]
