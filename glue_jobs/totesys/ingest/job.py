"""The ingest run: locks, one snapshot, what changed of every table, the manifest; then the catalog, then the announcement."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from totesys import alerts
from totesys.alerts import Alert
from totesys.arguments import IngestArguments
from totesys.contracts import Contract
from totesys.demands import NO_DEMANDS, Demands
from totesys.errors import BadDataError, RetriableError
from totesys.ingest.capture import Draft, behind_reason, counts_from, is_unchanged, unchanged
from totesys.ingest.source import Source, open_source
from totesys.ingest.structure import beyond_contract, drift
from totesys.manifests import BatchManifest, commit, newest_batch
from totesys.pointers import register_batch
from totesys.secrets import read_credentials
from totesys.store import AlreadyThereError, Bucket
from totesys.waiting import announce, is_waiting, loaded_through

log = logging.getLogger(__name__)

_ATTEMPTS = 3


@dataclass(frozen=True)
class Clients:
    """The AWS clients that ingest uses."""

    s3: Any
    glue: Any
    events: Any
    secretsmanager: Any


def run(arguments: IngestArguments, clients: Clients, contracts: Mapping[str, Contract], demands: Demands) -> int:
    """One tick; 0 also when another ingest was faster. A PipelineError leaves nothing behind that anybody reads."""
    for _ in range(_ATTEMPTS):
        try:
            tick(arguments, clients, contracts, demands)
        except AlreadyThereError:
            log.info("another ingest committed this batch first: stepping back")
            if demands == NO_DEMANDS:
                return 0
            continue  # what a person demands of this run, the other has not done
        return 0
    raise RetriableError(f"another ingest was faster {_ATTEMPTS} times, and what was demanded is not done: start the run again")


def tick(arguments: IngestArguments, clients: Clients, contracts: Mapping[str, Contract], demands: Demands) -> BatchManifest:
    """Reads, commits, registers and announces one batch. AlreadyThereError when another ingest took its number meanwhile."""
    started = time.monotonic()
    ingestion = Bucket(clients.s3, arguments.ingestion_bucket)
    previous = newest_batch(ingestion)
    if previous and previous.has_rows:
        # A crash may have come between that batch's commit and its registration. No batch follows one that is not registered.
        register_batch(clients.glue, arguments.ingestion_database, previous, ingestion.name)
    credentials = read_credentials(clients.secretsmanager, arguments.source_secret)
    with open_source(credentials) as source:
        batch = read_batch(source, ingestion, contracts, previous, demands)
    alerts.send(clients.events, arguments.project, held_alerts(previous, batch))
    commit(ingestion, batch)
    if batch.has_rows:
        register_batch(clients.glue, arguments.ingestion_database, batch, ingestion.name)
    if is_waiting(batch, loaded_through(Bucket(clients.s3, arguments.processed_bucket))):
        announce(clients.events, clients.glue, arguments.publish_workflow, batch)
    landed = [capture.rows for capture in batch.tables.values()]
    log.info(
        "batch %d is committed: %d rows, %d of %d tables without news, %.2f s",
        batch.seq, sum(landed), landed.count(0), len(landed), time.monotonic() - started,
    )  # fmt: skip
    return batch


def held_alerts(previous: BatchManifest | None, batch: BatchManifest) -> list[Alert]:
    """An alert for each table that this batch holds and the one before it did not."""
    held = {table: capture.held for table, capture in batch.tables.items() if capture.held}
    held_before = {table for table, capture in previous.tables.items() if capture.held} if previous else set()
    return [
        Alert(
            "table held", table, batch.seq,
            f"{table}: {why.reason}. Nothing of the table is brought in until that is settled, and nothing is lost; a row of another table"
            f" that refers to a new one of it keeps the load waiting. If the deletes are meant: scripts/run.sh --accept-deletes {table};"
            " if not, bring the rows back at the source",
        )
        for table, why in held.items() if table not in held_before
    ]  # fmt: skip


def read_batch(
    source: Source, ingestion: Bucket, contracts: Mapping[str, Contract], previous: BatchManifest | None, demands: Demands
) -> BatchManifest:
    """Lands what is new under one snapshot, and returns the manifest that would commit it."""
    started_at = datetime.now(timezone.utc).isoformat(timespec="seconds")
    for table in contracts:
        source.lock(table)
    draft = Draft(secrets.token_hex(4), started_at, source.snapshot(), previous, demands)
    if not demands.full and (reason := behind_reason(draft)):
        raise RetriableError(
            f"totesys ({source.place}) is older than what was read before: {reason}. Nothing was read, or history would go back:"
            " wait until the replica has caught up, or see that the secret names the right server. If the source itself was set back,"
            " scripts/run.sh --full reads it as it is"
        )
    oids = checked_structure(source, contracts)
    points = {table: counts_from(draft, contract, oids[table]) for table, contract in contracts.items()}
    counted = source.count({table: xmin for table, xmin in points.items() if xmin is not None})
    captures = {}
    for table, contract in contracts.items():
        before = draft.before(table)
        if before and table in counted and is_unchanged(counted[table], before):
            captures[table] = unchanged(before, draft.snapshot)
            continue
        # Here and not above: a run that finds nothing new never pays for importing pyarrow.
        from totesys.ingest.table import TableRead

        captures[table] = TableRead(source, ingestion, draft, contract, oids[table]).capture(counted.get(table))
    return draft.manifest(captures, source.durable_lsn(draft.snapshot))


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
