"""Reserve record ids: the keys of facts, which a sequence in the warehouse gives. The latest version of a row must have the highest id.

A restart, a restore or copied rows can leave the sequence below ids that are in use. So each load first reads the sequence, and moves it
if it is too low.
"""

from __future__ import annotations

import logging
from typing import Any

from sqlalchemy import Connection, Row, Table, func, select, text

from totesys.contracts import Contract
from totesys.contracts.types import INTEGER_BITS
from totesys.errors import FatalError
from totesys.warehouse.models import PUBLIC_SCHEMA

_log = logging.getLogger(__name__)


# PostgreSQL records both as dependencies: an identity column's own sequence, and the sequence that a default calls (serial or not).
_SEQUENCE = text("""
SELECT format('%I.%I', n.nspname, s.relname) AS name, q.seqincrement AS step, q.seqmax AS highest, format_type(a.atttypid, NULL) AS type
FROM pg_attribute AS a
LEFT JOIN pg_attrdef AS def ON def.adrelid = a.attrelid AND def.adnum = a.attnum
JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass
    AND (d.classid = 'pg_attrdef'::regclass AND d.objid = def.oid
         OR d.classid = 'pg_class'::regclass AND d.deptype = 'i' AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum)
JOIN pg_class AS s ON s.relkind = 'S' AND s.oid = CASE WHEN d.deptype = 'i' THEN d.objid ELSE d.refobjid END
JOIN pg_sequence AS q ON q.seqrelid = s.oid
JOIN pg_namespace AS n ON n.oid = s.relnamespace
WHERE a.attrelid = CAST(:table AS regclass) AND a.attname = :key
""")


def forget_cached(connection: Connection) -> None:
    """Forget the ids that the session has cached, since another load may have given higher ids."""
    connection.execute(text("DISCARD SEQUENCES"))


def reserve(connection: Connection, contract: Contract, fact: Table, last: int, rows: int) -> int:
    """Make the sequence continue above the highest id in use, and return that id. `last` is the highest id of the newest load.

    The caller holds the ledger's lock, so no other load appends. A rollback does not move the sequence back, which does no harm.
    FatalError when the sequence or the column has fewer ids left than `rows`.
    """
    key = fact.primary_key.columns[0]
    floor = max(connection.scalar(select(func.coalesce(func.max(key), 0))) or 0, last)
    sequence = connection.execute(_SEQUENCE, {"table": fact.fullname, "key": key.name}).first()
    if sequence is None or sequence.step < 1:
        return floor  # there is no sequence to move; check_appended checks the ids afterwards
    # The name comes from the server's catalog, which quotes it.
    last_value, is_called = connection.execute(text(f"SELECT last_value, is_called FROM {sequence.name}")).one()  # nosec B608
    upcoming = last_value + sequence.step if is_called else last_value
    highest = min(sequence.highest, 2 ** (INTEGER_BITS[sequence.type] - 1) - 1)
    left = max(0, (highest - max(upcoming, floor + sequence.step)) // sequence.step + 1)
    if left < rows:
        raise FatalError(_no_ids_left(contract, fact, sequence, floor, left, rows, last_value))
    if upcoming <= floor <= sequence.highest:
        connection.execute(text("SELECT setval(CAST(:name AS regclass), :floor)"), {"name": sequence.name, "floor": floor})
        _log.warning("%s was at %d, below the highest record id of %s: set to %d", sequence.name, last_value, fact.name, floor)
    return floor


def _no_ids_left(contract: Contract, fact: Table, sequence: Row[Any], floor: int, left: int, rows: int, last_value: int) -> str:
    key = fact.primary_key.columns[0]
    cure = []
    if sequence.type != "bigint":
        cure += [
            f"DROP VIEW IF EXISTS {PUBLIC_SCHEMA}.{contract.current_view}",
            f"ALTER TABLE {fact.fullname} ALTER COLUMN {key.name} TYPE bigint",
        ]
    cure.append(f"ALTER SEQUENCE {sequence.name} AS bigint NO MAXVALUE")
    back = f"SELECT setval('{sequence.name}', {floor})" if floor else f"SELECT setval('{sequence.name}', 1, false)"
    mistake = f" If somebody set the sequence too high by mistake, set it back: {back}." if floor < last_value else ""
    return (
        f"warehouse table {fact.fullname} has {left} record ids left, but {rows} rows need one: {sequence.name} is at {last_value},"
        f" and the highest id in use is {floor}. Nothing was loaded.{mistake} To get more ids, run these statements: {'; '.join(cure)}."
        " The next load recreates the view; then grant its readers SELECT on it again"
    )
