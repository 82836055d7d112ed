"""Compare the contracts of a deployment: registered, in the files, and the live source."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import boto3
from totesys.contracts import load_contracts, parse_contract
from totesys.contracts.registry import registered_contract
from totesys.errors import FatalError, PipelineError
from totesys.ingest.drift import LiveTable, findings
from totesys.ingest.source import open_source
from totesys.runtime.secrets import read_credentials

from operations.deployment.compatible import registered_tables
from operations.deployment.deployment import Deployment
from operations.registry.changes import changes
from operations.registry.contract_schema import CATALOG, check_schema
from operations.registry.propose import propose
from operations.registry.registered import Version, registered_versions


@dataclass(frozen=True)
class Overview:
    """A table's contract in brief.

    registered  the registered version, and `since` when; None when none is
    in_files    the version of the contract file
    columns     how many columns the registered contract has, or the file's when none is registered
    differences how many differences the live source has; None for a warehouse table, and when unknown
    """

    table: str
    registered: int | None
    in_files: int
    since: datetime | None
    columns: int
    differences: int | None
    is_source: bool


@dataclass(frozen=True)
class ContractDifference:
    """What differs between a table's registered contract and its file, and between its registered contract and the live source.

    `at_source` is None for a warehouse table.
    """

    registered: int
    in_file: list[str]
    at_source: list[str] | None

    @property
    def is_any(self) -> bool:
        return bool(self.in_file or self.at_source)


@dataclass(frozen=True)
class ContractDraft:
    """The next contract, drafted from the live source. `notes` say what changed, `left_out` which new columns are not in it."""

    path: Path
    text: str
    notes: list[str]
    left_out: list[str]

    def write(self) -> None:
        """Put the draft into the catalog's file."""
        self.path.write_text(self.text, "utf-8")


@dataclass(frozen=True)
class Registry:
    """The contracts of one deployment."""

    session: boto3.Session
    deployment: Deployment

    def overview(self) -> tuple[list[Overview], str]:
        """Return every table, and why the source was not reached; empty when it was."""
        contracts, glue = load_contracts(), self.session.client("glue")
        found_tables = [
            *registered_tables(glue, self.deployment.ingestion_database, contracts.source),
            *registered_tables(glue, self.deployment.star_database, contracts.warehouse),
        ]
        registered = {table["Name"]: registered_contract(table) for table in found_tables}
        live: Mapping[str, LiveTable] = {}
        unreachable = ""
        try:
            live = self._live(list(contracts.source))
        except PipelineError as error:
            unreachable = str(error)
        overviews = []
        for table, contract in {**contracts.source, **contracts.warehouse}.items():
            found = registered.get(table)
            is_compared = found is not None and table in contracts.source and not unreachable
            overviews.append(
                Overview(
                    table=table,
                    registered=found.version if found else None,
                    in_files=contract.version,
                    since=self.versions(table)[0].since if found else None,
                    columns=len((found or contract).columns),
                    differences=len(findings(found, live.get(table))) if found and is_compared else None,
                    is_source=table in contracts.source,
                )
            )
        return overviews, unreachable

    def versions(self, table: str) -> list[Version]:
        """Return the registered versions of a table's contract, newest first. FatalError when there is none."""
        return registered_versions(self.session.client("glue"), self._database(table), table)

    def difference(self, table: str) -> ContractDifference:
        """Return how the registered contract differs from the file and from the live source."""
        contracts = load_contracts()
        registered = self.versions(table)[0].contract
        wanted = {**contracts.source, **contracts.warehouse}[table]
        in_file = changes(registered, wanted)
        if registered.version != wanted.version:
            in_file.insert(0, f"version: {registered.version} -> {wanted.version}")
        at_source = None
        if table in contracts.source:
            at_source = [f"{finding.text}: {finding.outcome}" for finding in findings(registered, self._live([table]).get(table))]
        return ContractDifference(registered.version, in_file, at_source)

    def history(self, table: str) -> list[tuple[Version, list[str]]]:
        """Return each version with what it changed, newest first."""
        versions = self.versions(table)
        return [
            (version, changes(before.contract, version.contract) if before else [f"{len(version.contract.columns)} columns"])
            for version, before in zip(versions, [*versions[1:], None], strict=True)
        ]

    def draft(self, table: str) -> ContractDraft:
        """Return the next contract of a source table. FatalError when the source has no such table."""
        live = self._live([table]).get(table)
        if live is None or not live.is_table:
            raise FatalError(f"the source has no table {table}: nothing can be drafted from it")
        path = CATALOG / "source" / f"{table}.json"
        body = json.loads(path.read_text("utf-8"))
        draft, notes, left_out = propose(body, live, max(body["version"], self.versions(table)[0].contract.version + 1))
        if notes:
            check_schema(draft)
            parse_contract(draft)
        return ContractDraft(path, json.dumps(draft, indent=2, ensure_ascii=False) + "\n", notes, left_out)

    def _database(self, table: str) -> str:
        return self.deployment.ingestion_database if table in load_contracts().source else self.deployment.star_database

    def _live(self, tables: Sequence[str]) -> Mapping[str, LiveTable]:
        """Read the tables from the source, with ingest's credentials."""
        credentials = read_credentials(self.session.client("secretsmanager"), self.deployment.source_secret)
        with open_source(credentials) as source:
            return source.structure(tables)
