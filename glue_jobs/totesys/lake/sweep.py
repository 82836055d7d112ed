"""Deletes what no publish of the last day refers to: partitions that were replaced, and what runs that died have left behind.

A query that runs while a pointer moves still reads the old prefix, so a prefix outlives its replacement by a day. Manifests stay for ever.
Objects whose names are not a publish's stay as well, wherever they are: they belong to others.
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
    """Whether the publish at `now` is the first of its UTC day: then it sweeps."""
    return previous.published_at[:10] != now.isoformat()[:10]


def sweep(processed: Bucket, newest: PublishManifest, now: datetime) -> int:
    """Deletes the data of a day ago and older that nothing of the last day refers to; returns how many objects."""
    kept = _prefixes_in_use(processed, newest, now)
    doomed = [
        key
        for key, modified_at in processed.objects("")
        if modified_at < now - KEPT_FOR and layout.is_of_publish(key) and _prefix(key) not in kept
    ]
    processed.delete(doomed)
    log.info("%d objects deleted that no publish of the last day refers to", len(doomed))
    return len(doomed)


def _prefixes_in_use(processed: Bucket, newest: PublishManifest, now: datetime) -> set[str]:
    """The prefixes of every publish that was the newest at some time of the last day."""
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
