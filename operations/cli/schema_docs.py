"""`totesys schema docs`: write the data dictionary from the contracts."""

from __future__ import annotations

from pathlib import Path

import click
from totesys.contracts import load_contracts

from operations.registry.data_docs import data_docs

DATA_DOCS = Path(__file__).parents[2] / "docs" / "data.md"


@click.command("docs")
def docs() -> None:
    """Write docs/data.md, the data dictionary, from the contracts in catalog/."""
    DATA_DOCS.write_text(data_docs(load_contracts()), "utf-8")
    click.echo(f"written to {DATA_DOCS}")


if __name__ == "__main__":
    docs()
