"""Whether work waits for a publish, and how it is announced: an event that starts the publish workflow.

The load leaves a marker of how far the warehouse has come. It is a hint for others; the ledger in the warehouse is the truth.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from totesys import layout
from totesys.aws import aws_call
from totesys.errors import RetriableError
from totesys.manifests import BatchManifest
from totesys.store import Bucket

EVENT_SOURCE = "totesys.ingest"
EVENT_TYPE = "batch waiting"

log = logging.getLogger(__name__)


def mark_loaded(processed: Bucket, publish_seq: int, through_batch_seq: int) -> None:
    """Notes that the warehouse holds this publish, and so every batch up to `through_batch_seq`."""
    processed.put(layout.LOADED, json.dumps({"publish_seq": publish_seq, "through_batch_seq": through_batch_seq}).encode())


def loaded_through(processed: Bucket) -> int:
    """The newest batch that the warehouse holds; 0 before the first load."""
    if processed.first_key(layout.LOADED) is None:
        return 0
    return int(processed.get_json(layout.LOADED)["through_batch_seq"])


def is_waiting(batch: BatchManifest, through_batch_seq: int) -> bool:
    """Whether the newest batch, or one before it, brought something that the warehouse does not hold yet."""
    return batch.data_seq > through_batch_seq


def announce(events: Any, glue: Any, publish_workflow: str, batch: BatchManifest) -> bool:
    """Announces waiting work on the default event bus, unless the publish workflow runs now; says whether it did.

    Nothing hangs on the event: what still waits is announced again by the next tick.
    """
    with aws_call(f"reading workflow {publish_workflow}"):
        last_run = glue.get_workflow(Name=publish_workflow)["Workflow"].get("LastRun", {})
    if last_run.get("Status") == "RUNNING":
        log.info("batch %d waits: %s is running", batch.data_seq, publish_workflow)
        return False
    detail = {"publish_workflow": publish_workflow, "batch_seq": batch.data_seq}
    with aws_call("announcing waiting work on EventBridge"):
        answer = events.put_events(
            Entries=[{"Source": EVENT_SOURCE, "DetailType": EVENT_TYPE, "Detail": json.dumps(detail), "Resources": []}]
        )
    if answer["FailedEntryCount"]:
        code = answer["Entries"][0].get("ErrorCode")
        raise RetriableError(f"EventBridge did not take the event for batch {batch.data_seq} ({code}): the next tick announces it again")
    log.info("batch %d waits: announced to %s", batch.data_seq, publish_workflow)
    return True
