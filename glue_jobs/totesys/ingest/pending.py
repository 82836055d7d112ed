"""Find pending batches, and announce them with an event that starts the publish workflow.

The warehouse says which batches it holds. While it cannot be asked, a publish is started only if the lake lacks a batch.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from totesys.errors import FatalError, PipelineError, RetriableError
from totesys.errors.aws import aws_call
from totesys.lake.manifests import BatchManifest, newest_publish
from totesys.lake.store import Bucket

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_glue import GlueClient

EVENT_SOURCE = "totesys.ingest"
EVENT_TYPE = "batch pending"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """How far the work on batches has come.

    through  the newest batch that needs no more work: the newest batch that the warehouse holds
    unknown  why the warehouse could not be asked; None when it has answered. If it has not, `through` is the newest batch in the lake,
             so that an unreachable warehouse alone starts no publish
    """

    through: int
    unknown: PipelineError | None = None


def progress(ask: Callable[[], int], newest_data_seq: Callable[[], int], processed: Bucket) -> Progress:
    """Ask the warehouse how far it is loaded, by calling `ask`. `newest_data_seq` returns the newest landed batch with rows.

    A warehouse that holds a batch that never landed belongs to another lake, or the ingestion bucket has lost batches. Then its answer is
    not used, and `unknown` says why.
    """
    try:
        through = ask()
        newest = newest_data_seq()  # read after `ask`: a batch that lands and is loaded in between must not look lost
        if through > newest:
            raise FatalError(
                f"the warehouse holds batch {through}, but the newest batch with rows in the ingestion bucket is {newest}. Either the"
                " secret names the warehouse of another lake, or the bucket has lost batches. Nothing is loaded until that is settled:"
                " restore the batches, or rebuild the warehouse from this lake with scripts/totesys backfill"
            )
    except PipelineError as error:
        publish = newest_publish(processed)
        return Progress(publish.through_batch_seq if publish else 0, error)
    return Progress(through)


def is_pending(batch: BatchManifest, through_batch_seq: int) -> bool:
    """Return whether this batch, or an earlier batch, landed rows that the warehouse does not hold yet."""
    return batch.data_seq > through_batch_seq


def announce(events: EventBridgeClient, glue: GlueClient, publish_workflow: str, batch: BatchManifest) -> bool:
    """Announce pending batches on the default event bus, unless the publish workflow is running. Return whether it announced them.

    A lost event does no harm: the next tick announces the batches that are still pending.
    """
    with aws_call(f"reading workflow {publish_workflow}"):
        last_run = glue.get_workflow(Name=publish_workflow)["Workflow"].get("LastRun", {})
    if last_run.get("Status") == "RUNNING":
        log.info("batch %d is pending: %s is running", batch.data_seq, publish_workflow)
        return False
    detail = {"publish_workflow": publish_workflow, "batch_seq": batch.data_seq}
    with aws_call("announcing a pending batch on EventBridge"):
        answer = events.put_events(
            Entries=[{"Source": EVENT_SOURCE, "DetailType": EVENT_TYPE, "Detail": json.dumps(detail), "Resources": []}]
        )
    if answer["FailedEntryCount"]:
        code = answer["Entries"][0].get("ErrorCode")
        raise RetriableError(f"EventBridge did not accept the event for batch {batch.data_seq} ({code}): the next tick announces it again")
    log.info("batch %d is pending: announced to %s", batch.data_seq, publish_workflow)
    return True
