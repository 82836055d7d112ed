"""Reads answers of any length in bounded memory: the server keeps the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from psycopg2 import sql


def read_all_rows(connection: Any) -> None:
    """Lets the server plan its cursors for all rows, which is what we read; else it plans for the first ones to come soon."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL cursor_tuple_fraction = 1")


def stream(connection: Any, query: sql.Composable, values: Sequence[Any] | None = None) -> Iterator[Any]:
    """The rows of a query, one at a time; one stream of a connection at a time."""
    with connection.cursor("stream") as cursor:
        cursor.execute(query, values)
        yield from cursor


def scalar(connection: Any, query: sql.Composable) -> Any:
    """The one value that a query gives."""
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchone()[0]
