"""`totesys schema`: compare registered contracts, contract files and the live source, and draft the next contract."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from totesys.contracts import Column, load_contracts

from operations.aws import aws_session
from operations.cli.attempt import Attempt, attempted
from operations.cli.console import make_console, make_table, print_json
from operations.cli.exit_codes import FAILED
from operations.cli.options import any_table, examples, json_option, source_table
from operations.deployment.deployment import Deployment
from operations.registry.contracts import Overview, Registry
from operations.registry.data_docs import data_docs
from operations.registry.registered import Version, version_numbered

DATA_DOCS = Path(__file__).parents[2] / "docs" / "data.md"


@click.group()
def schema() -> None:
    """Show the registered contracts and what differs from them, and draft the next one."""


def _registry() -> Registry:
    session = aws_session()
    return Registry(session, Deployment.read(session))


@schema.command("list", short_help="List every table, and whether the source agrees.", epilog=examples("scripts/totesys schema list"))
@json_option
@attempted("schema")
def list_tables(attempt: Attempt, as_json: bool) -> None:
    """List every table: its registered version, the file's, and whether the live source agrees.

    \b
    With --json: {"tables": [{"table", "kind": "source" or "warehouse", "registered",
    "in_files", "since", "columns", "differences": with the source, or null}],
    "source_unreachable": reason or null}
    """
    overviews, unreachable = _registry().overview()
    if as_json:
        tables = [
            {
                "table": one.table, "kind": "source" if one.is_source else "warehouse", "registered": one.registered,
                "in_files": one.in_files, "since": one.since, "columns": one.columns, "differences": one.differences,
            }
            for one in overviews
        ]  # fmt: skip
        print_json({"tables": tables, "source_unreachable": unreachable or None})
        return
    headings = ("table", "registered", "in the files", "since", "columns", "live source")
    numbers = ("registered", "in the files", "columns")
    rows = [
        [
            one.table, "none" if one.registered is None else str(one.registered), str(one.in_files),
            f"{one.since:%Y-%m-%d %H:%M}" if one.since else "", str(one.columns), _agreement(one, bool(unreachable)),
        ]
        for one in overviews
    ]  # fmt: skip
    console = make_console()
    console.print(make_table([(heading, "right" if heading in numbers else "left") for heading in headings], rows))
    if unreachable:
        console.print(f"the source was not reached: {unreachable}", markup=False)


@schema.command(
    short_help="Show a registered contract.",
    epilog=examples("scripts/totesys schema show payment", "scripts/totesys schema show payment --version 1"),
)
@click.argument("table", type=any_table(), metavar="TABLE")
@click.option("--version", type=int, metavar="N", help="A version that was registered before.")
@json_option
@attempted("schema")
def show(attempt: Attempt, table: str, version: int | None, as_json: bool) -> None:
    """Show the columns of a registered contract, the newest or an earlier one.

    \b
    With --json: {"table", "version", "since", "contract": as in catalog/}
    """
    found = version_numbered(_registry().versions(table), version)
    if as_json:
        print_json({**_named(found), "contract": json.loads(found.contract.body)})
        return
    contract, console = found.contract, make_console()
    console.print(f"{table}, version {contract.version}, registered {found.since:%Y-%m-%d %H:%M}: {contract.description}", markup=False)
    headings = ("column", "type", "null", "from", "range", "values", "description")
    rows = [
        [
            column.name, column.type, "yes" if column.nullable else "no", column.source_type or column.origin or "",
            _range(column), ", ".join(column.values), column.description,
        ]
        for column in contract.columns
    ]  # fmt: skip
    console.print(make_table([(heading, "left") for heading in headings], rows))


@schema.command(short_help="Show what differs from a registered contract.", epilog=examples("scripts/totesys schema diff payment"))
@click.argument("table", type=any_table(), metavar="TABLE")
@json_option
@attempted("schema")
def diff(attempt: Attempt, table: str, as_json: bool) -> None:
    """Compare the registered contract with the contract file and with the live source.

    Exits 0 when nothing differs, and 1 when something does.

    \b
    With --json: {"table", "registered": version, "in_file": [difference],
    "at_source": [difference] or null of a warehouse table}
    """
    found = _registry().difference(table)
    if as_json:
        print_json({"table": table, "registered": found.registered, "in_file": found.in_file, "at_source": found.at_source})
    else:
        console = make_console()
        _say(console, f"registered version {found.registered} -> contract file", found.in_file)
        if found.at_source is not None:
            _say(console, f"registered version {found.registered} -> live source", found.at_source)
    if found.is_any:
        attempt.exit_code = FAILED


@schema.command(short_help="Show a contract's versions.", epilog=examples("scripts/totesys schema history payment"))
@click.argument("table", type=any_table(), metavar="TABLE")
@json_option
@attempted("schema")
def history(attempt: Attempt, table: str, as_json: bool) -> None:
    """Show the registered versions of a contract, newest first, and what each changed.

    \b
    With --json: [{"table", "version", "since", "changes": [text]}]
    """
    found = _registry().history(table)
    if as_json:
        print_json([{**_named(version), "changes": told} for version, told in found])
        return
    console = make_console()
    for version, told in found:
        _say(console, f"version {version.contract.version}, registered {version.since:%Y-%m-%d %H:%M}", told)


@schema.command(
    short_help="Draft the next contract from the source.",
    epilog=examples("scripts/totesys schema propose design", "scripts/totesys schema propose design --write"),
)
@click.argument("table", type=source_table(), metavar="TABLE")
@click.option("--write", is_flag=True, help="Write the draft to catalog/source/TABLE.json.")
@attempted("schema")
def propose(attempt: Attempt, table: str, write: bool) -> None:
    """Draft the next contract of a source table from the live source.

    Prints the draft as JSON on stdout, and what changed in it on stderr. Without --write, nothing is written.
    """
    draft = _registry().draft(table)
    for note in [*draft.left_out, *draft.notes]:
        print(f"schema: {table}.{note}", file=sys.stderr)
    if not draft.notes:
        print(f"schema: {table} at the source is as catalog/source/{table}.json says: nothing to propose", file=sys.stderr)
        return
    sys.stdout.write(draft.text)
    if write:
        draft.write()
        print(f"schema: written to {draft.path}", file=sys.stderr)


@schema.command(short_help="Write the data dictionary.", epilog=examples("scripts/totesys schema docs"))
@attempted("schema")
def docs(attempt: Attempt) -> None:
    """Write docs/data.md, the data dictionary, from the contracts in catalog/."""
    DATA_DOCS.write_text(data_docs(load_contracts()), "utf-8")
    print(f"written to {DATA_DOCS}")


def _named(version: Version) -> dict[str, object]:
    return {"table": version.contract.table, "version": version.contract.version, "since": version.since}


def _say(console: Console, heading: str, lines: Sequence[str]) -> None:
    console.print(heading, style="bold", markup=False)
    for line in lines or ["no difference"]:
        console.print(f"  {line}", markup=False)


def _agreement(one: Overview, is_unreachable: bool) -> str:
    if one.is_source and is_unreachable:
        return "not reached"
    if one.differences is None:
        return ""
    return f"{one.differences} {'difference' if one.differences == 1 else 'differences'}" if one.differences else "agrees"


def _range(column: Column) -> str:
    return f"{column.minimum or ''} … {column.maximum or ''}" if column.minimum or column.maximum else ""
