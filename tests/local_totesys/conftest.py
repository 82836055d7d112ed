"""A generated history, which tests only read, and a copy of it for those that write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pytest

from local_totesys.generator import generate
from local_totesys.postgres import PostgresServer

UNTIL = date(2026, 3, 13)  # A Friday.


@pytest.fixture(scope="session")
def history(postgres: PostgresServer, source_template: str, new_database: Callable[[str], str]) -> str:
    """The name of a database with 16,000 orders."""
    name = new_database(source_template)
    connection = postgres.connect(name)
    generate(connection, orders=16_000, seed=7, until=UNTIL)
    connection.close()
    return name


@pytest.fixture
def ask(postgres: PostgresServer, history: str) -> Iterator[Callable[[str], list[tuple[Any, ...]]]]:
    """Asks the history a question in SQL."""
    connection = postgres.connect(history)

    def answer(query: str) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return list(cursor.fetchall())

    yield answer
    connection.close()


@pytest.fixture
def living(postgres: PostgresServer, history: str, new_database: Callable[[str], str]) -> Iterator[Any]:
    """A connection to a copy of the history."""
    name = new_database(history)
    connection = postgres.connect(name)
    yield connection
    connection.close()
    postgres.drop_database(name)
