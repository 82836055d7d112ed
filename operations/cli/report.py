"""`totesys report`: one HTML page about a deployment."""

from __future__ import annotations

import webbrowser
from datetime import datetime, timezone
from pathlib import Path

import click
from totesys.errors import FatalError

from operations.aws import aws_session
from operations.cli.attempt import Attempt, attempted
from operations.cli.options import examples
from operations.deployment.deployment import Deployment
from operations.report.gather import Requests, gather
from operations.report.page import render


@click.command(epilog=examples("scripts/totesys report --output today.html --open"))
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    default=Path("totesys-report.html"),
    show_default=True,
    help="Write the page to FILE.",
)
@click.option("--open", "opens", is_flag=True, help="Open the page in a browser.")
@attempted("report")
def report(attempt: Attempt, output: Path, opens: bool) -> None:
    """Write one HTML page that shows a deployment: workflows, freshness, rows, seconds, contracts, and what needs care.

    The command asks AWS only. The page is one file without links to other files.
    """
    session = aws_session()
    requests = Requests(session)
    found = gather(session, Deployment.read(session), requests, datetime.now(timezone.utc))
    attempt.has_started = True
    write(output, render(found))
    click.echo(f"written to {output}")
    if opens and not webbrowser.open(output.resolve().as_uri()):
        click.echo(f"report: no browser could be opened: open {output} yourself", err=True)


def write(output: Path, page: str) -> None:
    """Write the page. FatalError when the file cannot be written."""
    try:
        output.write_text(page, "utf-8")
    except OSError as error:
        raise FatalError(f"{output} cannot be written ({error.strerror})", "give another file with --output") from error
