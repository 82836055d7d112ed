"""The table design, on which the tests try out what can happen to a table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

STAMP = "'2024-01-05 09:00:00.123'"


def insert(*keys: int) -> str:
    values = ", ".join(f"({key}, 'Design {key}', '/usr', 'd.json', {STAMP}, {STAMP})" for key in keys)
    return f"INSERT INTO design (design_id, design_name, file_location, file_name, created_at, last_updated) VALUES {values}"


def rename(key: int, name: str) -> str:
    return f"UPDATE design SET design_name = '{name}' WHERE design_id = {key}"


def delete(*keys: int) -> str:
    return f"DELETE FROM design WHERE design_id IN ({', '.join(map(str, keys))})"


@contextmanager
def transaction(source: Any) -> Iterator[Any]:
    """An open transaction at the source; what it did is committed at the end."""
    connection = source.connect()
    try:
        with connection.cursor() as cursor:
            yield cursor
        connection.commit()
    finally:
        connection.close()


@contextmanager
def prepared(source: Any, name: str, *statements: str) -> Iterator[Any]:
    """A prepared transaction, as the connection that may end it; a test that does not end it has it rolled back."""
    connection = source.connect()
    try:
        connection.tpc_begin(name)
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        connection.tpc_prepare()
        yield connection
    finally:
        connection.close()
