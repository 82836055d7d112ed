"""Random histories of the source: several transactions open at once, ended in every way that PostgreSQL knows, on rows of their own."""

from __future__ import annotations

from random import Random

from tests.exactness.sessions import COLLISIONS, Open, Sessions
from tests.exactness.steps import Steps

MOST_OPEN = 3  # transactions of one history


class History:
    """One history. Its seed and the steps' number decide what it does, as far as its own transactions do not collide."""

    def __init__(self, world: str, number: int, sessions: Sessions) -> None:
        self.number = number
        self.random = Random(f"{world}/{number}")
        self.sessions = sessions
        self.prefix = f"{world}-{number}"
        self.open: list[Open] = []
        self.prepared: list[str] = []
        self.log: list[str] = []
        self.steps = Steps(self.random, number, self.log)
        self._names = 0

    def begin(self) -> None:
        """The first rows, committed."""
        transaction = self.sessions.begin()
        self.steps.first_rows(transaction)
        self.sessions.end(transaction, commit=True)

    def step(self) -> None:
        """Goes on with one transaction, or ends one, or begins another."""
        chance = self.random.random()
        if self.prepared and chance < 0.15:
            self._end_prepared(self.prepared[0])
        elif self.open and (chance < 0.4 or len(self.open) == MOST_OPEN):
            self._end(self.random.choice(self.open))
        else:
            self._change()

    def end(self) -> None:
        """Ends every transaction that is open or prepared."""
        for transaction in list(self.open):
            self._end(transaction)
        for name in list(self.prepared):
            self._end_prepared(name)

    def abandon(self) -> None:
        """Rolls everything back."""
        for transaction in list(self.open):
            self._close(transaction, commit=False)
        for name in self.prepared:
            self.sessions.run("ROLLBACK PREPARED %s", name)
        self.prepared.clear()

    def lose_sessions(self) -> None:
        """The server is gone and back: what was open is rolled back, what was prepared is not."""
        self.open.clear()

    def _change(self) -> None:
        transaction = self.random.choice([*self.open, None]) or self._begin()
        try:
            for _ in range(self.random.choice((1, 1, 2, 4))):
                self._maybe_in_a_subtransaction(transaction)
        except COLLISIONS as error:
            self.note(f"collided ({type(error).__name__}), rolled back")
            self._close(transaction, commit=False)
            return
        if self.random.random() < 0.5:
            self._end(transaction)

    def _maybe_in_a_subtransaction(self, transaction: Open) -> None:
        chance = self.random.random()
        if chance < 0.75:
            self.steps.change(transaction)
        elif chance < 0.85:
            transaction.savepoints += 1
            self.steps.execute(transaction, f"SAVEPOINT s{transaction.savepoints}")
            self.steps.change(transaction)
        elif chance < 0.92 and transaction.savepoints:
            savepoint = self.random.randint(1, transaction.savepoints)
            self.steps.execute(transaction, f"ROLLBACK TO SAVEPOINT s{savepoint}")
            transaction.savepoints = savepoint
        else:
            self.steps.exception_block(transaction)

    # The ends of a transaction

    def _begin(self) -> Open:
        transaction = self.sessions.begin()
        self.open.append(transaction)
        return transaction

    def _end(self, transaction: Open) -> None:
        chance = self.random.random()
        if chance < 0.15 and len(self.prepared) < MOST_OPEN:
            self._names += 1
            name = f"{self.prefix}-{self._names}"
            self.steps.execute(transaction, "PREPARE TRANSACTION %s", name)
            self.prepared.append(name)
            self._close(transaction, commit=True)
        else:
            commit = chance < 0.85
            self.note("COMMIT" if commit else "ROLLBACK")
            self._close(transaction, commit=commit)

    def _close(self, transaction: Open, *, commit: bool) -> None:
        self.open.remove(transaction)
        self.sessions.end(transaction, commit=commit)

    def _end_prepared(self, name: str) -> None:
        self.prepared.remove(name)
        how = self.random.choice(("COMMIT", "COMMIT", "ROLLBACK"))
        self.note(f"{how} PREPARED {name}")
        self.sessions.run(f"{how} PREPARED %s", name)

    def note(self, what: str) -> None:
        self.log.append(what)
