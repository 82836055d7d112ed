"""The command behind scripts/query.sh: asks Athena, and prints its answer as a table. The question is one's own, or a saved one."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from operator import itemgetter
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from rich.text import Text
from totesys.errors import FatalError, PipelineError

from operations.console import make_console, make_table
from operations.deployment import Deployment, aws_session, explain

DATABASES = ("star", "mirror", "ingestion")
SHOWN = 1000  # rows: more is no table that anybody reads
_RUNNING = ("QUEUED", "RUNNING")
_NUMBERS = ("tinyint", "smallint", "integer", "int", "bigint", "real", "float", "double", "decimal")
_FIRST_POLL, _LONGEST_POLL = 0.05, 1.0  # seconds


class QueryError(PipelineError):
    """Athena could not answer; the message is its reason."""


@dataclass(frozen=True)
class Answer:
    """A query's answer: (name, Athena type) of each column, and the rows as text, None for null, fetched as they are read."""

    columns: list[tuple[str, str]]
    rows: Iterator[list[str | None]]


def main(argv: Sequence[str]) -> int:
    """0: answered; 1: Athena refused or failed, and said why; 2: could not ask."""
    parser = argparse.ArgumentParser(
        prog="scripts/query.sh",
        usage="%(prog)s [--database DATABASE] SQL [VALUE ...]\n       %(prog)s --saved NAME [VALUE ...]",
        description="Asks Athena and prints the answer as a table.",
    )
    parser.add_argument(
        "words",
        metavar="SQL, VALUE",
        nargs="*",
        help='one statement, such as "SELECT count(*) FROM fact_payment"; for each question mark of a query a literal, 7 or "\'GBP\'"',
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--saved", metavar="NAME", help="the question is the saved query of this name; an unknown name lists them")
    instead.add_argument("--database", choices=DATABASES, default=DATABASES[0], help="which database unqualified tables are in")
    arguments = parser.parse_intermixed_args(argv)
    words = arguments.words
    if not (words or arguments.saved):
        parser.error("neither SQL nor --saved is given")
    try:
        session = aws_session()
        deployment, client = Deployment.read(session), session.client("athena")
        if arguments.saved:
            sql, database = saved_query(client, deployment.workgroup, arguments.saved)
        else:
            sql, database = words.pop(0), database_name(deployment, arguments.database)
        print_answer(ask(client, deployment, sql, database, words))
    except QueryError as error:
        print(f"query: {error}", file=sys.stderr)
        return 1
    except (PipelineError, BotoCoreError, ClientError) as error:
        print(f"query: {error if isinstance(error, PipelineError) else explain(error)}", file=sys.stderr)
        return 2
    return 0


def database_name(deployment: Deployment, database: str) -> str:
    """The Data Catalog's name of one of the three databases."""
    name: str = getattr(deployment, f"{database}_database")
    return name


def saved_query(client: Any, workgroup: str, name: str) -> tuple[str, str]:
    """SQL and database of the work group's saved query of that name; FatalError that lists them all when there is none."""
    pages = client.get_paginator("list_named_queries").paginate(WorkGroup=workgroup)
    batches = (page["NamedQueryIds"] for page in pages)
    saved = [query for ids in batches if ids for query in client.batch_get_named_query(NamedQueryIds=ids)["NamedQueries"]]
    for query in saved:
        if query["Name"] == name:
            return query["QueryString"], query["Database"]
    listed = [f"\n  {query['Name']:30}  {query.get('Description', '')}" for query in sorted(saved, key=itemgetter("Name"))]
    raise FatalError(f"no query is saved as {name}; saved are{''.join(listed) or ' none: run scripts/deploy.sh'}")


def ask(client: Any, deployment: Deployment, statement: str, database: str, values: Sequence[str] = ()) -> Answer:
    """Runs one statement in the deployment's work group and waits; QueryError with Athena's reason when it fails.

    `values` are literals of SQL, one for each question mark of the statement.
    """
    try:
        query_id = client.start_query_execution(
            QueryString=statement,
            QueryExecutionContext={"Database": database},
            WorkGroup=deployment.workgroup,
            **({"ExecutionParameters": list(values)} if values else {}),
        )["QueryExecutionId"]
    except client.exceptions.InvalidRequestException as error:
        raise QueryError(error.response["Error"]["Message"]) from error
    poll = _FIRST_POLL
    while (status := client.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]["Status"])["State"] in _RUNNING:
        time.sleep(poll)
        poll = min(poll * 1.5, _LONGEST_POLL)
    if status["State"] != "SUCCEEDED":
        raise QueryError(status.get("StateChangeReason") or f"the query was {status['State'].lower()}")
    pages = iter(client.get_paginator("get_query_results").paginate(QueryExecutionId=query_id))
    first = next(pages)
    columns = [(column["Name"], column["Type"]) for column in first["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]]
    return Answer(columns, _rows(chain([first], pages), [name for name, _ in columns]))


def print_answer(answer: Answer) -> None:
    """The answer as a table, numbers to the right, nulls told from empty text; then how many rows there are."""
    rows = list(islice(answer.rows, SHOWN))
    columns = [(name, "right" if kind.split("(")[0] in _NUMBERS else "left") for name, kind in answer.columns]
    console = make_console()
    console.print(make_table(columns, ([_cell(value) for value in row] for row in rows)))
    more = next(answer.rows, None) is not None
    console.print(f"the first {SHOWN} rows: add a LIMIT or a WHERE" if more else f"{len(rows)} row{'' if len(rows) == 1 else 's'}")


def _rows(pages: Iterator[Any], names: list[str]) -> Iterator[list[str | None]]:
    for number, page in enumerate(pages):
        rows = [[datum.get("VarCharValue") for datum in row["Data"]] for row in page["ResultSet"]["Rows"]]
        # The answer to a SELECT begins with the names of its columns; that to a SHOW does not.
        yield from rows[1:] if number == 0 and rows and rows[0] == names else rows


def _cell(value: str | None) -> Text:
    return Text("NULL", style="dim") if value is None else Text(value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
