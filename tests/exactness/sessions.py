"""Connections to the source that histories share, and the transactions that are open on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from psycopg2 import errors

# What a statement may meet when transactions of one history get in each other's way. It ends the transaction, as it does for any client.
COLLISIONS = (
    errors.LockNotAvailable, errors.UniqueViolation, errors.ForeignKeyViolation, errors.RestrictViolation, errors.DeadlockDetected,
)  # fmt: skip


class Open:
    """A transaction that is open at the source."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.cursor = connection.cursor()
        self.savepoints = 0

    def execute(self, statement: str, *values: Any) -> list[Any]:
        self.cursor.execute(statement, values or None)
        return self.cursor.fetchall() if self.cursor.description else []


@dataclass
class Sessions:
    """Connections to the source that histories share, each for the time of a transaction; `utility` stands outside all transactions."""

    connect: Callable[[], Any]
    free: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reconnect()

    def reconnect(self) -> None:
        self.free.clear()
        self.utility = self.connect()
        self.utility.autocommit = True

    def begin(self) -> Open:
        return Open(self.free.pop() if self.free else self._connect())

    def end(self, transaction: Open, *, commit: bool) -> None:
        (transaction.connection.commit if commit else transaction.connection.rollback)()
        self.free.append(transaction.connection)

    def run(self, statement: str, *values: Any) -> list[Any]:
        """One statement in a transaction of its own."""
        with self.utility.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        for connection in (self.utility, *self.free):
            connection.close()

    def _connect(self) -> Any:
        connection = self.connect()
        with connection, connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '20ms'")  # whoever holds the lock is driven by this same thread
        return connection
