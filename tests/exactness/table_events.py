"""What befalls a whole table of the source, or its server, beside the histories that go on in single rows."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.exactness.histories import History
from tests.exactness.oracle import SOURCE_TABLES
from tests.exactness.sessions import Sessions
from tests.exactness.steps import DAYS, DAYS_OF, INFINITY, NO_DAYS, VALUES, Ref

_CHANCE = 0.35

_BRING_BACK = """
DO $block$ DECLARE one payment; BEGIN
  FOR one IN SELECT * FROM kept LOOP
    BEGIN INSERT INTO payment VALUES (one.*); EXCEPTION WHEN integrity_constraint_violation THEN NULL; END;
  END LOOP;
  DROP TABLE kept;
END $block$
"""
_RELOAD = "BEGIN; CREATE TABLE kept AS TABLE payment; TRUNCATE payment; INSERT INTO payment TABLE kept; DROP TABLE kept; COMMIT"
_EMPTY = "BEGIN; CREATE TABLE kept AS TABLE payment; TRUNCATE payment; COMMIT"


class TableEvents:
    """Draws events from the world's seed. `crash_server` ends the source's server and brings it back."""

    def __init__(self, random: Random, sessions: Sessions, histories: list[History], crash_server: Callable[[], None]) -> None:
        self.random = random
        self.sessions = sessions
        self.histories = histories
        self.crash_server = crash_server
        self.is_emptied = False  # payment; its rows then stand in a table `kept`

    def maybe(self, deletes_many: bool) -> None:
        """An event, or none."""
        if self.is_emptied and self.random.random() < 0.5:
            self.bring_back()
        elif self.random.random() < _CHANCE:
            events = [self._rewrite, self._flip, self._reload, self._empty, self._freeze, self._crash_server]
            self.random.choice([self._delete_many] * len(events) + events if deletes_many else events)()

    def bring_back(self) -> None:
        """The rows that were truncated, but those that fit no more: one without its transaction, say."""
        if self.is_emptied:
            self._everybody_ends()
            self._note("payment has its rows again")
            self.sessions.run(_BRING_BACK)
            self.is_emptied = False

    def put_right(self) -> None:
        """No row breaks its contract any more."""
        self._everybody_ends()
        self._note("bad values are put right")
        for table, days in DAYS_OF.items():
            self.sessions.run(f'UPDATE "{table}" SET created_at = last_updated WHERE created_at = %s', INFINITY)
            for name in days:
                self.sessions.run(f'UPDATE "{table}" SET {name} = %s WHERE {name} = ANY (%s)', DAYS[0], list(NO_DAYS))

    def _rewrite(self) -> None:
        """Every row that nobody holds gets a new version without a new value."""
        table = self.random.choice(SOURCE_TABLES)
        self._note(f"every row of {table} is rewritten")
        self._update_all(table, "last_updated = last_updated")

    def _flip(self) -> None:
        """Many payments change, with one stamp."""
        self._note("payments are flipped")
        self._update_all("payment", "paid = NOT paid, last_updated = '2026-03-09 07:55:00'")

    def _update_all(self, table: str, setting: str) -> None:
        free = f'SELECT {table}_id FROM "{table}" FOR NO KEY UPDATE SKIP LOCKED'
        self.sessions.run(f'UPDATE "{table}" SET {setting} WHERE {table}_id IN ({free})')

    def _reload(self) -> None:
        """TRUNCATE, and the same rows again, in one transaction."""
        if not self.is_emptied:
            self._everybody_ends()
            self._note("payment is reloaded")
            self.sessions.run(_RELOAD)

    def _empty(self) -> None:
        """TRUNCATE, and no old rows for some runs."""
        if not self.is_emptied:
            self._everybody_ends()
            self._note("payment is emptied")
            self.sessions.run(_EMPTY)
            self.is_emptied = True

    def _delete_many(self) -> None:
        """Half of a table's rows that nobody holds and no row refers to."""
        table = self.random.choice(SOURCE_TABLES)
        self._note(f"many rows of {table} are deleted")
        children = [(child, name) for child, columns in VALUES.items() for name, values in columns.items() if values == Ref(table)]
        unused = [f'NOT EXISTS (SELECT FROM "{child}" WHERE {name} = {table}_id)' for child, name in children]
        free = f'SELECT {table}_id FROM "{table}" WHERE {" AND ".join([f"{table}_id % 2 = 0", *unused])} FOR UPDATE SKIP LOCKED'
        self.sessions.run(f'DELETE FROM "{table}" WHERE {table}_id IN ({free})')

    def _freeze(self) -> None:
        """Row versions are frozen; none is new."""
        table = self.random.choice(SOURCE_TABLES)
        self._note(f"{table} is frozen")
        self.sessions.run(f'VACUUM (FREEZE) "{table}"')

    def _crash_server(self) -> None:
        """Open transactions are gone, prepared ones are not."""
        self._note("the server crashes")
        for history in self.histories:
            history.lose_sessions()
        self.sessions.close()
        self.crash_server()
        self.sessions.reconnect()

    def _everybody_ends(self) -> None:
        """Whoever wants a table for itself waits for all."""
        for history in self.histories:
            history.end()

    def _note(self, what: str) -> None:
        for history in self.histories:
            history.note(f"-- {what}")
