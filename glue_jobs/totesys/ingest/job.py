"""The ingest run: locks, one snapshot, what changed of every table, the manifest; then the catalog, then the announcement."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from totesys import layout
from totesys.arguments import IngestArguments
from totesys.aws import aws_call
from totesys.contracts import Contract
from totesys.errors import BadDataError
from totesys.ingest.capture import brings_something, full_reason, is_unchanged, unchanged
from totesys.ingest.source import Snapshot, Source, open_source
from totesys.ingest.structure import beyond_contract, drift
from totesys.manifests import BatchManifest, TableCapture, commit, newest_batch
from totesys.pointers import register_batch
from totesys.secrets import read_credentials
from totesys.store import AlreadyThereError, Bucket
from totesys.waiting import announce, is_waiting, loaded_through

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Clients:
    """The AWS clients that ingest uses."""

    s3: Any
    glue: Any
    events: Any
    secretsmanager: Any


def run(arguments: IngestArguments, clients: Clients, contracts: Mapping[str, Contract]) -> int:
    """One tick; 0 also when another ingest was faster. A PipelineError leaves nothing behind that anybody reads."""
    started = time.monotonic()
    ingestion = Bucket(clients.s3, arguments.ingestion_bucket)
    previous = newest_batch(ingestion)
    if previous and previous.has_rows:
        # A crash may have come between that batch's commit and its registration. No batch follows one that is not registered.
        register_batch(clients.glue, arguments.ingestion_database, previous, ingestion.name)
    demanded = full_is_demanded(clients.glue, arguments)
    credentials = read_credentials(clients.secretsmanager, arguments.source_secret)
    with open_source(credentials) as source:
        batch = read_batch(source, ingestion, contracts, previous, demanded=demanded)
    try:
        commit(ingestion, batch)
    except AlreadyThereError:
        log.info("another ingest committed batch %d first; stepping back", batch.seq)
        return 0
    if batch.has_rows:
        register_batch(clients.glue, arguments.ingestion_database, batch, ingestion.name)
    if is_waiting(batch, loaded_through(Bucket(clients.s3, arguments.processed_bucket))):
        announce(clients.events, clients.glue, arguments.publish_workflow, batch)
    rows = sum(capture.rows for capture in batch.tables.values())
    log.info("batch %d is committed: %d rows in %.1f s", batch.seq, rows, time.monotonic() - started)
    return 0


def full_is_demanded(glue: Any, arguments: IngestArguments) -> bool:
    """Whether the workflow run that we are part of was started with the property full = true."""
    if not (arguments.WORKFLOW_NAME and arguments.WORKFLOW_RUN_ID):
        return False
    with aws_call(f"reading the run properties of workflow {arguments.WORKFLOW_NAME}"):
        answer = glue.get_workflow_run_properties(Name=arguments.WORKFLOW_NAME, RunId=arguments.WORKFLOW_RUN_ID)
    return answer["RunProperties"].get("full") == "true"


def read_batch(
    source: Source, ingestion: Bucket, contracts: Mapping[str, Contract], previous: BatchManifest | None, *, demanded: bool
) -> BatchManifest:
    """Lands what is new under one snapshot, and returns the manifest that would commit it."""
    started_at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    for table in contracts:
        source.lock(table)
    snapshot = source.snapshot()
    oids = checked_structure(source, contracts)
    seq = previous.seq + 1 if previous else 1
    batch_id = layout.run_id(seq, secrets.token_hex(4))
    captures = read_tables(source, ingestion, contracts, oids, snapshot, previous, seq, batch_id, demanded=demanded)
    last_data_seq = previous.data_seq if previous else 0
    has_rows = brings_something(captures, previous)
    return BatchManifest(
        seq=seq,
        batch_id=batch_id,
        started_at=started_at,
        snapshot=snapshot.text,
        snapshot_at=snapshot.taken_at,
        source=snapshot.identity,
        data_seq=seq if has_rows else last_data_seq,
        previous_data_seq=last_data_seq if has_rows or previous is None else previous.previous_data_seq,
        tables=captures,
    )


def checked_structure(source: Source, contracts: Mapping[str, Contract]) -> dict[str, int]:
    """The tables' oids at the source; BadDataError, before anything is read, that names all drift from the contracts."""
    live = source.structure(list(contracts))
    problems = [problem for table, contract in contracts.items() for problem in drift(contract, live.get(table))]
    if problems:
        raise BadDataError(
            f"totesys ({source.place}) is not what the contracts say: {'; '.join(problems)}. "
            "Nothing was read: change the source back, or settle the contract in catalog/source and deploy"
        )
    for table, contract in contracts.items():
        if extra := beyond_contract(contract, live[table]):
            log.info("%s has columns beyond its contract, which are not read: %s", table, ", ".join(extra))
    return {table: live[table].oid for table in contracts}


def read_tables(
    source: Source, ingestion: Bucket, contracts: Mapping[str, Contract], oids: Mapping[str, int], snapshot: Snapshot,
    previous: BatchManifest | None, batch_seq: int, batch_id: str, *, demanded: bool,
) -> dict[str, TableCapture]:  # fmt: skip
    """Every table's capture: full where a delta would not be exact, nothing read where nothing changed."""
    reasons = {table: full_reason(contract, oids[table], snapshot, previous, demanded) for table, contract in contracts.items()}
    before = previous.tables if previous else {}
    counted = source.count({table: before[table].capture_xmin for table, reason in reasons.items() if reason is None})
    captures = {}
    for table, contract in contracts.items():
        if table in counted and is_unchanged(counted[table], before[table]):
            captures[table] = unchanged(before[table], snapshot)
            continue
        # Here and not above: a run that finds nothing new never pays for importing pyarrow.
        from totesys.ingest.table import TableRead

        started = time.monotonic()
        read = TableRead(source, ingestion, snapshot, contract, oids[table], batch_seq, batch_id, before.get(table))
        reason = reasons[table]
        capture = read.delta(before[table], counted[table].rows) if reason is None else read.full()
        if capture is None:
            reason = "rows were deleted"
            capture = read.full()
        captures[table] = capture
        mode = f"full ({reason})" if reason else "delta"
        log.info("batch %d: %s %s, %d rows in %.2f s", batch_seq, table, mode, capture.rows, time.monotonic() - started)
    log.info("batch %d: %d of %d tables unchanged", batch_seq, sum(not c.rows for c in captures.values()), len(captures))
    return captures
