"""Read answers of any length in bounded memory: the server keeps the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from psycopg2 import sql


def read_all_rows(connection: Any) -> None:
    """Let the server plan its cursors for reading all rows. Its default is a plan that returns the first rows fast."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL cursor_tuple_fraction = 1")


def stream(connection: Any, query: sql.Composable, values: Sequence[Any] | None = None) -> Iterator[Any]:
    """Yield the rows of a query one by one. A connection can have one stream at a time."""
    with connection.cursor("stream") as cursor:
        cursor.execute(query, values)
        yield from cursor


def scalar(connection: Any, query: sql.Composable) -> Any:
    """Return the single value of a query."""
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchone()[0]
