"""Ask Athena one statement or a saved query, and read the answer page by page."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from totesys.errors import FatalError, PipelineError

from operations.deployment.deployment import Deployment

if TYPE_CHECKING:
    from mypy_boto3_athena import AthenaClient
    from mypy_boto3_athena.type_defs import GetQueryResultsOutputTypeDef

DATABASES = ("star", "mirror", "ingestion")
_RUNNING = ("QUEUED", "RUNNING")
_FIRST_POLL, _LONGEST_POLL = 0.05, 1.0  # seconds


class QueryError(PipelineError):
    """Athena could not answer. The message is Athena's reason."""


@dataclass(frozen=True)
class Answer:
    """The answer to a query: name and Athena type of each column, and the rows as text or None, fetched as they are read."""

    columns: list[tuple[str, str]]
    rows: Iterator[list[str | None]]


def database_name(deployment: Deployment, database: str) -> str:
    """Return the name that one of the three databases has in the Data Catalog."""
    name: str = getattr(deployment, f"{database}_database")
    return name


def saved_query(client: AthenaClient, workgroup: str, name: str) -> tuple[str, str]:
    """Return SQL and database of a saved query of the work group. FatalError, which lists all saved queries, when the name is unknown."""
    pages = client.get_paginator("list_named_queries").paginate(WorkGroup=workgroup)
    batches = (page["NamedQueryIds"] for page in pages)
    saved = [query for ids in batches if ids for query in client.batch_get_named_query(NamedQueryIds=ids)["NamedQueries"]]
    for query in saved:
        if query["Name"] == name:
            return query["QueryString"], query["Database"]
    listed = [f"\n  {query['Name']:30}  {query.get('Description', '')}" for query in sorted(saved, key=itemgetter("Name"))]
    raise FatalError(f"no query is saved as {name}; saved are{''.join(listed) or ' none: run scripts/deploy.sh'}")


def ask(client: AthenaClient, deployment: Deployment, statement: str, database: str, values: Sequence[str] = ()) -> Answer:
    """Run one statement in the deployment's work group, and wait. QueryError with Athena's reason when it fails.

    `values` are literals of SQL, one for each question mark of the statement.
    """
    parameters: dict[str, Any] = {"ExecutionParameters": list(values)} if values else {}
    try:
        query_id = client.start_query_execution(
            QueryString=statement,
            QueryExecutionContext={"Database": database},
            WorkGroup=deployment.workgroup,
            **parameters,
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


def _rows(pages: Iterator[GetQueryResultsOutputTypeDef], names: list[str]) -> Iterator[list[str | None]]:
    for number, page in enumerate(pages):
        rows = [[datum.get("VarCharValue") for datum in row["Data"]] for row in page["ResultSet"]["Rows"]]
        # The answer to a SELECT begins with a row of column names. The answer to a SHOW does not.
        yield from rows[1:] if number == 0 and rows and rows[0] == names else rows
