"""Memory of a comparison stays bounded, however many rows differ or were deleted at the source."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

ROWS = 300_000
GROWTH_MIB = 16  # the keys alone would take twice as much, the rows twenty times

# Every design differs, and every second one is tombstoned though the source has it; every type of payment was deleted at the source.
AT_SOURCE = f"""
INSERT INTO design (design_id, design_name, file_location, file_name, created_at, last_updated)
SELECT n, md5(n::text), '/usr', 'a.json', now(), now() FROM generate_series(10, {ROWS} + 9) AS n
"""
IN_WAREHOUSE = f"""
INSERT INTO dim_design SELECT n, md5(n::text), '/tmp', 'a.json' FROM generate_series(10, {ROWS} + 9) AS n;
INSERT INTO etl.tombstone (source_table, key, batch_seq) SELECT 'design', n, 2 FROM generate_series(10, {ROWS} + 9, 2) AS n;
INSERT INTO dim_payment_type SELECT n, 'BARTER' FROM generate_series(10, {ROWS} + 9) AS n;
INSERT INTO etl.tombstone (source_table, key, batch_seq) SELECT 'payment_type', n, 2 FROM generate_series(10, {ROWS} + 9) AS n
"""

CHILD = """
import json, pathlib, sys
import psycopg2
from totesys.contracts import load_contracts
from operations.reconcile.compare import compare_all

def peak():
    status = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024

source, warehouse = (psycopg2.connect(url) for url in json.load(sys.stdin))
contracts, before = load_contracts(), peak()
found = {comparison.table: comparison for comparison in compare_all(contracts, source, warehouse)}
designs, payment_types = found["dim_design"], found["dim_payment_type"]
growth = peak() - before
print(json.dumps({"counts": designs.counts, "gone": payment_types.gone, "differences": payment_types.differences, "growth": growth}))
"""


def test_large_tables_that_differ_in_every_row_are_compared_in_bounded_memory(
    postgres: Any, agreeing_databases: tuple[str, str], new_database: Callable[[str], str]
) -> None:
    databases = [new_database(database) for database in agreeing_databases]
    for database, statement in zip(databases, (AT_SOURCE, IN_WAREHOUSE)):
        with closing(postgres.connect(database)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(statement)
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        input=json.dumps([postgres.url(database) for database in databases]),
        env={**os.environ, "PYTHONPATH": ".:glue_jobs"},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    assert measured["counts"] == {"stale": ROWS // 2, "tombstoned": ROWS // 2}
    assert (measured["gone"], measured["differences"]) == (ROWS, 0)
    assert measured["growth"] < GROWTH_MIB, measured
