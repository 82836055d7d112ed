"""The ingest run: locks, one snapshot, what changed of every table, the manifest; then the catalog, then the announcement."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from totesys.arguments import IngestArguments
from totesys.aws import aws_call
from totesys.contracts import Contract
from totesys.errors import BadDataError
from totesys.ingest.capture import Draft, full_reason, is_unchanged, unchanged
from totesys.ingest.source import Source, open_source
from totesys.ingest.structure import beyond_contract, drift
from totesys.manifests import BatchManifest, commit, newest_batch
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
    full_demanded = full_is_demanded(clients.glue, arguments)
    credentials = read_credentials(clients.secretsmanager, arguments.source_secret)
    with open_source(credentials) as source:
        batch = read_batch(source, ingestion, contracts, previous, full_demanded=full_demanded)
    try:
        commit(ingestion, batch)
    except AlreadyThereError:
        log.info("another ingest committed batch %d first; stepping back", batch.seq)
        return 0
    if batch.has_rows:
        register_batch(clients.glue, arguments.ingestion_database, batch, ingestion.name)
    if is_waiting(batch, loaded_through(Bucket(clients.s3, arguments.processed_bucket))):
        announce(clients.events, clients.glue, arguments.publish_workflow, batch)
    landed = [capture.rows for capture in batch.tables.values()]
    log.info(
        "batch %d is committed: %d rows, %d of %d tables without news, %.2f s",
        batch.seq, sum(landed), landed.count(0), len(landed), time.monotonic() - started,
    )  # fmt: skip
    return 0


def full_is_demanded(glue: Any, arguments: IngestArguments) -> bool:
    """Whether the workflow run that we are part of was started with the property full = true."""
    if not (arguments.WORKFLOW_NAME and arguments.WORKFLOW_RUN_ID):
        return False
    with aws_call(f"reading the run properties of workflow {arguments.WORKFLOW_NAME}"):
        answer = glue.get_workflow_run_properties(Name=arguments.WORKFLOW_NAME, RunId=arguments.WORKFLOW_RUN_ID)
    return answer["RunProperties"].get("full") == "true"


def read_batch(
    source: Source, ingestion: Bucket, contracts: Mapping[str, Contract], previous: BatchManifest | None, *, full_demanded: bool
) -> BatchManifest:
    """Lands what is new under one snapshot, and returns the manifest that would commit it."""
    started_at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    for table in contracts:
        source.lock(table)
    draft = Draft(secrets.token_hex(4), started_at, source.snapshot(), previous, full_demanded)
    oids = checked_structure(source, contracts)
    reasons = {table: full_reason(draft, contract, oids[table]) for table, contract in contracts.items()}
    counted = source.count({table: before.capture_xmin for table in contracts if (before := draft.before(table)) and not reasons[table]})
    captures = {}
    for table, contract in contracts.items():
        before = draft.before(table)
        if before and table in counted and is_unchanged(counted[table], before):
            captures[table] = unchanged(before, draft.snapshot)
            continue
        # Here and not above: a run that finds nothing new never pays for importing pyarrow.
        from totesys.ingest.table import TableRead

        captures[table] = TableRead(source, ingestion, draft, contract, oids[table]).capture(reasons[table], counted.get(table))
    return draft.manifest(captures)


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
