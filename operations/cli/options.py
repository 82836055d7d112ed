"""What several commands share: the option --json, types for names of tables, and examples in the help."""

from __future__ import annotations

import click
from totesys.contracts import load_contracts

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout; progress goes to stderr.")


def examples(*lines: str) -> str:
    """Return a command's examples as the end of its help."""
    return "\n".join(["\b", "Examples:" if len(lines) > 1 else "Example:", *(f"  {line}" for line in lines)])


def source_table() -> click.Choice[str]:
    """Return the type of an option whose value is a source table."""
    return click.Choice(list(load_contracts().source))


def any_table() -> click.Choice[str]:
    """Return the type of an option whose value is a source table or a warehouse table."""
    contracts = load_contracts()
    return click.Choice([*contracts.source, *contracts.warehouse])
