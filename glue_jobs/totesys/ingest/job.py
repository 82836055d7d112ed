"""Run ingest: lock the tables, take one snapshot, read all changes, commit the manifest, update the catalog, announce the batch."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from totesys.contracts import Contract
from totesys.errors import BadDataError, RetriableError
from totesys.ingest.capture import Draft, behind_reason, counts_from, held_capture, hold_for_error, is_told, is_unchanged, unchanged
from totesys.ingest.drift import FAIL, HOLD, Finding, LiveTable, findings
from totesys.ingest.pending import announce, is_pending, progress
from totesys.ingest.source import Source, TableError, open_source
from totesys.lake.manifests import BatchManifest, Held, TableCapture, commit, newest_batch
from totesys.lake.pointers import register_batch
from totesys.lake.store import AlreadyThereError, Bucket
from totesys.runtime import alerts
from totesys.runtime.alerts import Alert
from totesys.runtime.arguments import IngestArguments
from totesys.runtime.logs import log_fields
from totesys.runtime.run_request import ORDINARY_RUN, RunRequest
from totesys.runtime.secrets import read_credentials
from totesys.warehouse.state import loaded_through

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_glue import GlueClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient

log = logging.getLogger(__name__)

_ATTEMPTS = 3
NO_TABLE = LiveTable(oid=0, kind="", hides_rows=False, columns={}, key=())


@dataclass(frozen=True)
class IngestClients:
    """The AWS clients that ingest uses."""

    s3: S3Client
    glue: GlueClient
    events: EventBridgeClient
    secretsmanager: SecretsManagerClient


def run(arguments: IngestArguments, clients: IngestClients, contracts: Mapping[str, Contract], request: RunRequest) -> None:
    """Run one tick. Stop without an error when another ingest commits the batch first and this run has no request.

    After a PipelineError, no reader sees what the run has written.
    """
    for _ in range(_ATTEMPTS):
        try:
            tick(arguments, clients, contracts, request)
        except AlreadyThereError:
            log.info("another ingest committed this batch first: this run stops")
            if request == ORDINARY_RUN:
                return
            continue  # the other ingest did not do what this run's request asks for
        return
    raise RetriableError(f"another ingest was faster {_ATTEMPTS} times, and this run's request was not carried out: start the run again")


def tick(arguments: IngestArguments, clients: IngestClients, contracts: Mapping[str, Contract], request: RunRequest) -> BatchManifest:
    """Read, commit, register and announce one batch. AlreadyThereError when another ingest took its number meanwhile."""
    started = time.monotonic()
    ingestion = Bucket(clients.s3, arguments.ingestion_bucket)
    previous = newest_batch(ingestion)
    if previous and previous.has_rows:
        # That run may have crashed between its commit and its registration. Every batch is registered before the next one is read.
        register_batch(clients.glue, arguments.ingestion_database, previous, ingestion.name)
    credentials = read_credentials(clients.secretsmanager, arguments.source_secret)
    with open_source(credentials) as source:
        batch = capture_batch(source, ingestion, contracts, previous, request)
    alerts.send(clients.events, arguments.project, news(previous, batch))
    commit(ingestion, batch)
    if batch.has_rows:
        register_batch(clients.glue, arguments.ingestion_database, batch, ingestion.name)
    is_caught_up = announce_pending(arguments, clients, batch)
    landed = [capture.rows for capture in batch.tables.values()]
    rows, quiet, seconds = sum(landed), landed.count(0), time.monotonic() - started
    log.info(
        "batch %d is committed: %d rows, %d of %d tables unchanged, %.2f s", batch.seq, rows, quiet, len(landed), seconds,
        extra=log_fields("batch committed", counted(batch, is_caught_up), batch=batch.seq, rows=rows, seconds=round(seconds, 3)),
    )  # fmt: skip
    return batch


def announce_pending(arguments: IngestArguments, clients: IngestClients, batch: BatchManifest) -> bool:
    """Announce pending batches. Return whether the warehouse has confirmed that no batch is pending."""

    def ask() -> int:
        return loaded_through(read_credentials(clients.secretsmanager, arguments.warehouse_secret))

    reached = progress(ask, lambda: batch.data_seq, Bucket(clients.s3, arguments.processed_bucket))
    if reached.unknown:
        log.warning("batch %d is committed, but it is unknown which batches the warehouse lacks: %s", batch.seq, reached.unknown)
    if has_pending := is_pending(batch, reached.through):
        announce(clients.events, clients.glue, arguments.publish_workflow, batch)
    return not has_pending and not reached.unknown


def counted(batch: BatchManifest, is_caught_up: bool) -> dict[str, float]:
    """Return the batch's metrics. `is_caught_up`: whether the warehouse has confirmed that no batch is pending."""
    captures = list(batch.tables.values())
    letters = [capture.dead_letters for capture in captures if capture.dead_letters]
    landed, kept_out = sum(capture.rows for capture in captures), sum(dead.new_rows for dead in letters)
    oldest_for = datetime.fromisoformat(batch.snapshot_at) - datetime.fromisoformat(batch.oldest_transaction_since)
    return {
        "RowsRead": landed + kept_out,
        "RowsWritten": landed,
        "RowsKeptOut": kept_out,
        "BytesWritten": sum(landed.bytes for capture in captures for landed in capture.files),
        "HeldTables": len(batch.held),
        "DeadLetters": sum(dead.rows for dead in letters),
        "OldestTransactionSeconds": max(0.0, oldest_for.total_seconds()),
        **({"CaughtUp": 1} if is_caught_up else {}),
    }


def news(previous: BatchManifest | None, batch: BatchManifest) -> list[Alert]:
    """Return the alerts that are new in this batch: held tables, rows in the dead letter, drift."""

    def alert(kind: str, table: str, text: str) -> Alert:
        return Alert(kind, table, batch.seq, f"{table}: {text}")

    found = []
    for table, why in batch.held.items():
        if not is_told(previous.held.get(table) if previous else None, why):
            text = f"{why.reason}. The table's changes wait at the source until that is settled, and none is lost: {why.cure}"
            found.append(alert("table held", table, text))
    for table, capture in batch.tables.items():
        if (dead := capture.dead_letters) and dead.new_rows:
            text = f"{dead.new_rows} rows break the contract and are kept out, all others flow on: scripts/totesys deadletters show {table}"
            found.append(alert("rows in the dead letter", table, text))
    for table, texts in batch.drift.items():
        told = previous.drift.get(table, ()) if previous else ()
        if new := [text for text in texts if text not in told]:
            cure = f"scripts/totesys schema propose {table} --write, then scripts/deploy.sh"
            text = f"{'; '.join(new)}. The rows flow on. To take the change into the contract: {cure}"
            found.append(alert("source changed", table, text))
    return found


def capture_batch(
    source: Source, ingestion: Bucket, contracts: Mapping[str, Contract], previous: BatchManifest | None, request: RunRequest
) -> BatchManifest:
    """Land the changes of all tables under one snapshot. Return the manifest that commits them."""
    started_at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    failed = lock_tables(source, contracts)
    draft = Draft(secrets.token_hex(4), started_at, source.snapshot(), previous, request)
    if not request.full and (reason := behind_reason(draft)):
        raise RetriableError(
            f"totesys ({source.place}) is older than the previous batch: {reason}. Nothing was read, since that would undo newer changes:"
            " wait until the replica has caught up, or check that the secret names the right server. If the source itself was restored to"
            " an earlier state, read it as it is: scripts/totesys run --full"
        )
    unlocked = set(failed)
    live = source.structure(list(contracts), unlocked)
    observed_before = {table: draft.observed_before(table) for table in contracts}
    drift = {
        table: findings(contract, live.get(table), None if table in unlocked else observed_before[table])
        for table, contract in contracts.items()
    }
    refuse_failing(source, drift)
    held_tables = {table: [one for one in found if one.outcome == HOLD] for table, found in drift.items()}
    sound = {table: contract for table, contract in contracts.items() if not held_tables[table] and table not in unlocked}
    points = {table: counts_from(draft, contract, live[table]) for table, contract in sound.items()}
    counted, uncounted = source.count({table: xmin for table, xmin in points.items() if xmin is not None})
    failed.update(uncounted)
    captures, held = {}, {}
    for table, contract in contracts.items():
        before, why = draft.before(table), draft.held_before(table)
        if before and table in counted and is_unchanged(counted[table], before, why):
            captured: TableCapture | Held = why or unchanged(before, draft.snapshot)
        elif table in failed and not held_tables[table]:
            captured = hold_for_error(draft, contract, live.get(table, NO_TABLE), failed[table])
        else:
            # Imported here, so that a run that finds nothing new does not import pyarrow.
            from totesys.ingest.table import TableRead

            read = TableRead(source, ingestion, draft, contract, live.get(table, NO_TABLE))
            drifted = held_tables[table]
            captured = read.hold(drifted, table not in unlocked) if drifted else read.capture(counted.get(table))
        if isinstance(captured, Held):
            held[table] = captured
            if captured.cause == "error":
                log.warning("batch %d: %s is held: %s: %s", draft.seq, table, captured.reason, captured.cure)
            if before:
                captures[table] = held_capture(before)
        else:
            captures[table] = captured
    flowing = {table: tuple(one.text for one in found if one.outcome != HOLD) for table, found in drift.items()}
    return draft.manifest(
        captures,
        source.durable_lsn(draft.snapshot),
        held=held,
        drift={table: texts for table, texts in flowing.items() if texts},
        observed={table: seen for table, one in live.items() if (seen := observed_before[table] if table in unlocked else one.observed)},
    )


def lock_tables(source: Source, tables: Iterable[str]) -> dict[str, TableError]:
    """Lock the tables. Return the tables that cannot be locked, each with its error."""
    failed: dict[str, TableError] = {}
    for table in tables:
        try:
            source.lock(table)
        except TableError as error:
            failed[table] = error
    return failed


def refuse_failing(source: Source, drift: Mapping[str, Sequence[Finding]]) -> None:
    """Raise BadDataError, before anything is read, for drift whose outcome in the contract is `fail`."""
    if failing := [one.text for found in drift.values() for one in found if one.outcome == FAIL]:
        raise BadDataError(
            f"totesys ({source.place}) does not match the contracts: {'; '.join(failing)}. "
            "Nothing was read: change the source back, or settle the contract in catalog/source and deploy"
        )
