"""What befalls a whole table of the source, or its server, beside the histories that go on in single rows."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.exactness.histories import History
from tests.exactness.oracle import SOURCE_TABLES
from tests.exactness.sessions import Sessions
from tests.exactness.steps import DAYS, DAYS_OF, ENDS, INFINITY, NO_DAYS, VALUES, Ref

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

# Payment in two partitions. What is unique in it besides its key cannot be, since it does not hold the key.
_PARTITION = """
ALTER TABLE payment RENAME TO payment_low;
ALTER TABLE payment_low DROP CONSTRAINT payment_transaction_id_key;
CREATE TABLE payment (LIKE payment_low INCLUDING DEFAULTS, PRIMARY KEY (payment_id),
  FOREIGN KEY (transaction_id) REFERENCES transaction ON UPDATE CASCADE,
  FOREIGN KEY (counterparty_id) REFERENCES counterparty ON UPDATE CASCADE, FOREIGN KEY (currency_id) REFERENCES currency ON UPDATE CASCADE,
  FOREIGN KEY (payment_type_id) REFERENCES payment_type ON UPDATE CASCADE) PARTITION BY RANGE (payment_id);
CREATE TABLE payment_high PARTITION OF payment FOR VALUES FROM (100000) TO (MAXVALUE);
WITH moved AS (DELETE FROM payment_low WHERE payment_id >= 100000 RETURNING *) INSERT INTO payment SELECT * FROM moved;
ALTER TABLE payment ATTACH PARTITION payment_low FOR VALUES FROM (MINVALUE) TO (100000);
ALTER SEQUENCE payment_payment_id_seq OWNED BY payment.payment_id;
"""
# Its rows as they are now, paid and unpaid changed about: written long before the partition that they stand in is exchanged for them.
_PREPARE_EXCHANGE = """
CREATE TABLE payment_next (LIKE payment_low INCLUDING ALL);
INSERT INTO payment_next SELECT * FROM payment_low;
UPDATE payment_next SET paid = NOT paid;
"""
_EXCHANGE = """
BEGIN;
ALTER TABLE payment DETACH PARTITION payment_low;
DELETE FROM payment_next AS n WHERE NOT EXISTS (SELECT FROM transaction AS t WHERE t.transaction_id = n.transaction_id)
  OR NOT EXISTS (SELECT FROM counterparty AS c WHERE c.counterparty_id = n.counterparty_id)
  OR NOT EXISTS (SELECT FROM currency AS c WHERE c.currency_id = n.currency_id)
  OR NOT EXISTS (SELECT FROM payment_type AS p WHERE p.payment_type_id = n.payment_type_id);
ALTER TABLE payment ATTACH PARTITION payment_next FOR VALUES FROM (MINVALUE) TO (100000);
DROP TABLE payment_low;
ALTER TABLE payment_next RENAME TO payment_low;
COMMIT
"""
_WIDE_KEYS = (2**31, 3_000_000_000, 2**62)
_WIDE_ROW = """
INSERT INTO design (design_id, design_name, file_location, file_name, created_at, last_updated)
VALUES (%s, 'Wide', '/usr', 'w.json', '2026-03-02', '2026-03-02') ON CONFLICT (design_id) DO UPDATE SET design_name = 'Wider'
"""
_CHARACTERS = ("character(5)", "character varying(3)", "character(3)", "character varying(3)")


class TableEvents:
    """Draws events from the world's seed. `crash_server` ends the source's server and brings it back."""

    def __init__(self, random: Random, sessions: Sessions, histories: list[History], crash_server: Callable[[], None]) -> None:
        self.random = random
        self.sessions = sessions
        self.histories = histories
        self.crash_server = crash_server
        self.is_emptied = False  # payment; its rows then stand in a table `kept`
        self.is_partitioned = self.is_prepared = False  # payment, and its partition to come
        self._types = 0

    def maybe(self, deletes_many: bool) -> None:
        """An event, or none."""
        if self.is_emptied and self.random.random() < 0.5:
            self.bring_back()
        elif self.random.random() < _CHANCE:
            events = [
                self._rewrite, self._flip, self._reload, self._empty, self._freeze, self._crash_server, self._lengthen, self._change_type,
                self._go_to_the_ends, self._widen_keys, self._exchange, self._exchange,
            ]  # fmt: skip
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
        self.sessions.run("DELETE FROM design WHERE design_id >= 2^31")
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

    def _lengthen(self) -> None:
        """Values of 3 MB, which end lines in every way."""
        self._note("designs get values of 3 MB")
        free = "SELECT design_id FROM design ORDER BY design_id FOR NO KEY UPDATE SKIP LOCKED LIMIT 2"
        self.sessions.run(f"UPDATE design SET file_location = repeat(E'é\\r\\n\\r', 600000) WHERE design_id IN ({free})")

    def _change_type(self) -> None:
        """The currency's code gets another type of text, which fills it up with blanks or does not."""
        type_ = _CHARACTERS[self._types % len(_CHARACTERS)]
        self._types += 1
        self._everybody_ends()
        self._note(f"currency_code becomes {type_}")
        self.sessions.run(f"ALTER TABLE currency ALTER currency_code TYPE {type_} USING rtrim(currency_code, ' ')")

    def _go_to_the_ends(self) -> None:
        """Days and moments at the ends of what the contract allows."""
        self._note("a payment's days are at the ends of their range")
        free = "SELECT payment_id FROM payment ORDER BY payment_id FOR NO KEY UPDATE SKIP LOCKED LIMIT 1"
        self.sessions.run(
            f"UPDATE payment SET created_at = '1990-01-01', last_updated = '2100-12-31 23:59:59.999', payment_date = %s"
            f" WHERE payment_id IN ({free})",
            self.random.choice(ENDS),
        )

    def _widen_keys(self) -> None:
        """A design with a key that the contract's type cannot hold."""
        self._everybody_ends()
        key = self.random.choice(_WIDE_KEYS)
        self._note(f"design {key} comes, or changes")
        self.sessions.run("ALTER TABLE design ALTER design_id TYPE bigint")
        self.sessions.run(_WIDE_ROW, key)

    def _exchange(self) -> None:
        """A partition is exchanged for one with other rows, which were written before the batches that come between."""
        if self.is_emptied:
            return
        self._everybody_ends()
        if self.is_prepared:
            self._note("a partition of payment is exchanged")
            self.sessions.run(_EXCHANGE)
        else:
            self._note("a partition of payment is prepared")
            if not self.is_partitioned:
                self.sessions.run(_PARTITION)
                self.is_partitioned = True
            self.sessions.run(_PREPARE_EXCHANGE)
        self.is_prepared = not self.is_prepared

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
