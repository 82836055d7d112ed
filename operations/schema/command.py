"""The command behind scripts/schema.sh: the registered contracts, their versions, the contract files, and the live source, side by side."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from totesys.contracts import Column, Contract, load_contracts, parse_contract
from totesys.contracts.registry import registered_contract
from totesys.errors import FatalError, PipelineError
from totesys.ingest.drift import LiveTable, findings
from totesys.ingest.source import open_source
from totesys.runtime.secrets import read_credentials

from operations.console import make_console, make_table
from operations.contract_schema import CATALOG, check_schema
from operations.deploy.compatible import registered_tables
from operations.deployment import Deployment, aws_session, explain
from operations.schema.changes import changes
from operations.schema.propose import propose
from operations.schema.registered import registered_versions, version_numbered

DIFFERENT = 1


def main(argv: Sequence[str]) -> int:
    """0: done, and for diff nothing differs; 1: diff found differences; 2: could not look."""
    arguments = parse(argv)
    try:
        if arguments.command != "list":
            known_table(arguments.table, source_only=arguments.command == "propose")
        session = aws_session()
        schema = Schema(session, Deployment.read(session), make_console())
        if arguments.command == "list":
            schema.list()
        elif arguments.command == "show":
            schema.show(arguments.table, arguments.version)
        elif arguments.command == "history":
            schema.history(arguments.table)
        elif arguments.command == "propose":
            schema.propose(arguments.table, arguments.write)
        elif schema.diff(arguments.table):
            return DIFFERENT
    except (PipelineError, BotoCoreError, ClientError) as error:
        print(f"schema: {error if isinstance(error, PipelineError) else explain(error)}", file=sys.stderr)
        return 2
    return 0


def parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/schema.sh", description="Shows the registered contracts and what differs from them.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("list", help="every table: its version, and whether the live source agrees")
    for name, text in (
        ("show", "columns of the registered contract, or with --version N of an earlier one"),
        ("diff", "the contract file against the registered version, and that against the live source"),
        ("history", "the versions, and what changed between them"),
        ("propose", "the next contract drafted from the live source; --write puts it into catalog/source"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("table", metavar="TABLE")
        if name == "show":
            command.add_argument("--version", type=int, metavar="N", help="a version that was registered before")
        if name == "propose":
            command.add_argument("--write", action="store_true", help="write catalog/source/TABLE.json")
    return parser.parse_args(argv)


def known_table(table: str, source_only: bool = False) -> None:
    """FatalError that names the known tables when this is none of them."""
    known = load_contracts().source if source_only else {**load_contracts().source, **load_contracts().warehouse}
    if table not in known:
        raise FatalError(f"no contract is of a {'source ' if source_only else ''}table {table}: there are {', '.join(sorted(known))}")


@dataclass(frozen=True)
class Schema:
    """The contracts of one deployment."""

    session: Any
    deployment: Deployment
    console: Console

    def list(self) -> None:
        """A line per table."""
        contracts, glue = load_contracts(), self.session.client("glue")
        found_tables = [
            *registered_tables(glue, self.deployment.ingestion_database, contracts.source),
            *registered_tables(glue, self.deployment.star_database, contracts.warehouse),
        ]
        registered = {table["Name"]: registered_contract(table) for table in found_tables}
        try:
            live, unreachable = self._live(list(contracts.source)), ""
        except PipelineError as error:
            live, unreachable = {}, str(error)
        rows = []
        for table, contract in {**contracts.source, **contracts.warehouse}.items():
            found = registered.get(table)
            since = registered_versions(glue, self._database(table), table)[0].since if found else None
            agrees = "" if table not in contracts.source else "not reached" if unreachable else _agreement(found, live.get(table))
            rows.append([
                table, str(found.version) if found else "none", str(contract.version),
                f"{since:%Y-%m-%d %H:%M}" if since else "", str(len((found or contract).columns)), agrees,
            ])  # fmt: skip
        headings = ("table", "registered", "in the files", "since", "columns", "live source")
        numbers = ("registered", "in the files", "columns")
        self.console.print(make_table([(heading, "right" if heading in numbers else "left") for heading in headings], rows))
        if unreachable:
            self.console.print(f"the source was not reached: {unreachable}", markup=False)

    def show(self, table: str, number: int | None) -> None:
        """A registered contract's columns."""
        version = version_numbered(self._versions(table), number)
        contract = version.contract
        self.console.print(
            f"{table}, version {contract.version}, registered {version.since:%Y-%m-%d %H:%M}: {contract.description}", markup=False
        )
        headings = ("column", "type", "null", "from", "range", "values", "description")
        rows = [
            [
                column.name, column.type, "yes" if column.nullable else "no", column.source_type or column.origin or "",
                _range(column), ", ".join(column.values), column.description,
            ]
            for column in contract.columns
        ]  # fmt: skip
        self.console.print(make_table([(heading, "left") for heading in headings], rows))

    def diff(self, table: str) -> bool:
        """What differs, file against registered and registered against live; whether anything does."""
        contracts = load_contracts()
        registered = self._versions(table)[0].contract
        wanted = {**contracts.source, **contracts.warehouse}[table]
        found = changes(registered, wanted)
        if registered.version != wanted.version:
            found.insert(0, f"version: {registered.version} -> {wanted.version}")
        self._say(f"registered version {registered.version} -> contract file", found)
        if table not in contracts.source:
            return bool(found)
        at_source = [f"{finding.text}: {finding.outcome}" for finding in findings(registered, self._live([table]).get(table))]
        self._say(f"registered version {registered.version} -> live source", at_source)
        return bool(found or at_source)

    def history(self, table: str) -> None:
        """Each version with what it changed, newest first."""
        versions = self._versions(table)
        for version, before in zip(versions, [*versions[1:], None], strict=True):
            told = changes(before.contract, version.contract) if before else [f"{len(version.contract.columns)} columns"]
            self._say(f"version {version.contract.version}, registered {version.since:%Y-%m-%d %H:%M}", told)

    def propose(self, table: str, write: bool) -> None:
        """Prints the draft, and what was changed on stderr."""
        live = self._live([table]).get(table)
        if live is None or not live.is_table:
            raise FatalError(f"the source has no table {table}: nothing can be drafted from it")
        path = CATALOG / "source" / f"{table}.json"
        body = json.loads(path.read_text("utf-8"))
        draft, notes, left_out = propose(body, live, max(body["version"], self._versions(table)[0].contract.version + 1))
        for note in left_out:
            print(f"schema: {table}.{note}", file=sys.stderr)
        if not notes:
            print(f"schema: {table} at the source is as catalog/source/{table}.json says: nothing to propose", file=sys.stderr)
            return
        for note in notes:
            print(f"schema: {table}.{note}", file=sys.stderr)
        check_schema(draft)
        parse_contract(draft)
        text = json.dumps(draft, indent=2, ensure_ascii=False) + "\n"
        sys.stdout.write(text)
        if write:
            path.write_text(text, "utf-8")
            print(f"schema: written to {path}", file=sys.stderr)

    def _say(self, heading: str, lines: Sequence[str]) -> None:
        self.console.print(heading, style="bold", markup=False)
        for line in lines or ["no difference"]:
            self.console.print(f"  {line}", markup=False)

    def _versions(self, table: str) -> Any:
        return registered_versions(self.session.client("glue"), self._database(table), table)

    def _database(self, table: str) -> str:
        return self.deployment.ingestion_database if table in load_contracts().source else self.deployment.star_database

    def _live(self, tables: Sequence[str]) -> Mapping[str, LiveTable]:
        """The tables as the source has them, by the credentials that ingest uses."""
        credentials = read_credentials(self.session.client("secretsmanager"), self.deployment.source_secret)
        with open_source(credentials) as source:
            return source.structure(tables)


def _agreement(registered: Contract | None, live: LiveTable | None) -> str:
    if registered is None:
        return ""
    found = findings(registered, live)
    return f"{len(found)} {'difference' if len(found) == 1 else 'differences'}" if found else "agrees"


def _range(column: Column) -> str:
    return f"{column.minimum or ''} … {column.maximum or ''}" if column.minimum or column.maximum else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
