"""`totesys query`: ask Athena a statement or a saved query, and print the answer."""

from __future__ import annotations

import re
from itertools import islice

import click
from rich.text import Text

from operations.athena import DATABASES, Answer, ask, database_name, saved_query
from operations.aws import aws_session
from operations.cli.attempt import Attempt, attempted
from operations.cli.console import Heading, make_console, make_table, print_json
from operations.cli.options import examples, json_option
from operations.deployment.deployment import Deployment

_OPTION = re.compile(r"--?[a-z][a-z-]*(=.*)?")
SHOWN = 1000  # rows: nobody reads a longer table
_NUMBERS = ("tinyint", "smallint", "integer", "int", "bigint", "real", "float", "double", "decimal")


@click.command(
    epilog=examples(
        'scripts/totesys query "SELECT count(*) FROM current_payment"',
        'scripts/totesys query "SELECT * FROM current_payment WHERE payment_id = ?" 7',
        "scripts/totesys query --saved freshness --json",
    ),
    context_settings={"ignore_unknown_options": True},  # a VALUE may be -7
)
@click.argument("words", metavar="[SQL] [VALUE]...", nargs=-1)
@click.option("--saved", metavar="NAME", help="Ask the saved query of this name. An unknown name lists them.")
@click.option("--database", type=click.Choice(DATABASES), help="The database of unqualified tables.  [default: star]")
@json_option
@attempted("query")
def query(attempt: Attempt, words: tuple[str, ...], saved: str | None, database: str | None, as_json: bool) -> None:
    """Ask Athena one statement of SQL, and print the answer as a table.

    Each VALUE is an SQL literal for one question mark of the statement: 7, or "'GBP'". A table shows at most 1,000 rows; JSON has all rows.

    \b
    With --json: {"columns": [{"name", "type"}], "rows": [[text or null]]}, where a value
    is text as Athena writes it
    """
    if unknown := next((word for word in words if _OPTION.fullmatch(word)), None):
        raise click.NoSuchOption(unknown)
    if saved and database:
        raise click.UsageError("--saved and --database exclude each other: a saved query names its database")
    if not (saved or words):
        raise click.UsageError("neither SQL nor --saved is given")
    session = aws_session()
    deployment, athena = Deployment.read(session), session.client("athena")
    if saved:
        (sql, name), values = saved_query(athena, deployment.workgroup, saved), words
    else:
        sql, name, values = words[0], database_name(deployment, database or DATABASES[0]), words[1:]
    attempt.has_started = True
    answer = ask(athena, deployment, sql, name, values)
    if as_json:
        print_json({"columns": [{"name": name, "type": kind} for name, kind in answer.columns], "rows": list(answer.rows)})
    else:
        print_answer(answer)


def print_answer(answer: Answer) -> None:
    """Print the answer as a table, and the number of rows. Numbers are on the right. A null is printed as NULL."""
    rows = list(islice(answer.rows, SHOWN))
    columns: list[Heading] = [(name, "right" if kind.split("(")[0] in _NUMBERS else "left") for name, kind in answer.columns]
    console = make_console()
    console.print(make_table(columns, ([_cell(value) for value in row] for row in rows)))
    more = next(answer.rows, None) is not None
    console.print(f"the first {SHOWN} rows: add a LIMIT or a WHERE" if more else f"{len(rows)} row{'' if len(rows) == 1 else 's'}")


def _cell(value: str | None) -> Text:
    return Text("NULL", style="dim") if value is None else Text(value)
