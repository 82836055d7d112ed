"""Memory of the job's process stays bounded: it reads in blocks, and its peak does not grow with the table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROWS = 400_000  # some sixty blocks of CSV; a million takes the same memory and three times as long
LIMIT_MIB = 300

FILL = f"""
INSERT INTO design (design_id, design_name, file_location, file_name, created_at, last_updated)
SELECT n, md5(n::text), repeat(md5((n + 1)::text), 4), md5((n + 2)::text), now(), now() FROM generate_series(1, {ROWS}) AS n
"""

# A process of its own, which reads one table in full and then its delta beside an open transaction, when every row has been seen already.
CHILD = """
import json, pathlib, shutil, sys
from totesys.contracts import load_contracts
from totesys.runtime.run_request import RunRequest
from totesys.ingest.job import capture_batch
from totesys.ingest.source import open_source
from totesys.runtime.secrets import Credentials
from totesys.lake.store import Bucket

class Folder(Bucket):
    def path(self, key):
        path = pathlib.Path(self.name, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path
    def get(self, key): return self.path(key).read_bytes()
    def put(self, key, body): self.path(key).write_bytes(body)
    def upload(self, path, key): shutil.copy(path, self.path(key))

given = json.load(sys.stdin)
batch, landed = None, []
for _ in range(2):
    with open_source(Credentials(**given["credentials"])) as source:
        contracts = {"design": load_contracts().source["design"]}
        batch = capture_batch(source, Folder(None, given["folder"]), contracts, batch, RunRequest())
    landed.append(batch.tables["design"].rows)
status = pathlib.Path("/proc/self/status").read_text().splitlines()
peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(json.dumps({"landed": landed, "seen": batch.tables["design"].seen is not None, "peak_mib": peak / 1024}))
"""


def test_a_large_table_is_read_and_all_of_it_recognised_again_in_bounded_memory(source: Any, tmp_path: Path) -> None:
    with closing(source.connect()) as early, early.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()")  # an open transaction, older than every row
        with closing(source.connect()) as connection, connection, connection.cursor() as filling:
            filling.execute(FILL)
        done = subprocess.run(
            [sys.executable, "-c", CHILD],
            input=json.dumps({"credentials": asdict(source.credentials), "folder": str(tmp_path)}),
            env={**os.environ, "PYTHONPATH": "glue_jobs"},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    assert (measured["landed"], measured["seen"]) == ([ROWS, 0], True)
    assert measured["peak_mib"] < LIMIT_MIB, measured
