"""A source that was restored on another server, set back to an older copy, or whose transaction counter turns."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from totesys.errors import RetriableError

from local_totesys.postgres import HOST, OWNER, PostgresServer, run
from tests.conftest import Database
from tests.ingest.designs import insert, rename, transaction
from tests.support.servers import guarded

TURN = 2**32
SEGMENT = 32 * 8192  # bytes of a file below pg_xact, two bits per transaction


def test_a_dump_restored_on_another_server_is_read_in_full_and_then_by_deltas_whatever_its_transaction_ids(
    designs: Any, elsewhere: PostgresServer, tmp_path: Path
) -> None:
    first, second = designs.source, restored(designs.source, elsewhere, tmp_path)
    xmins = [designs.newest().tables["design"].capture_xmin]
    burn(second, xmins[0])
    for source, keys in ((second, (4, 5, 6)), (first, (7, 8, 9))):
        designs.move_to(source)
        designs.execute(insert(keys[0]))
        batch = designs.tick(accept_deletes=["design"])
        assert (designs.keys(batch, "design"), batch.tables["design"].mode) == ([1, 2, 3, keys[0]], "full")
        with transaction(source) as early:
            early.execute(insert(keys[1]))
            designs.execute(insert(keys[2]))
            assert designs.keys(designs.tick(), "design") == [keys[2]]
        assert designs.keys(designs.tick(), "design") == [keys[1]]
        assert designs.keys(designs.tick(), "design") == []
        xmins.append(batch.tables["design"].capture_xmin)
    assert xmins[0] < xmins[1] > xmins[2]


def restored(source: Database, server: PostgresServer, folder: Path) -> Database:
    """The source's dump, restored on another server."""
    copy = Database(server, f"{source.dbname}_restored")
    server.create_database(copy.dbname)
    for program, database in (("pg_dump", source), ("pg_restore", copy)):
        place = [f"--host={HOST}", f"--port={database.server.port}", f"--username={OWNER}", f"--dbname={database.dbname}"]
        dump = [f"--file={folder / 'dump'}", "--format=custom"] if program == "pg_dump" else ["--exit-on-error", str(folder / "dump")]
        run([program, *place, *dump], folder, environment={"PGPASSWORD": database.server.password})
    return copy


@pytest.fixture
def copied(elsewhere: PostgresServer, tmp_path: Path) -> Iterator[Callable[[], Path]]:
    """Copies the files of `elsewhere`, which stops for it, into the folder of another server of the same identity."""
    folder = tmp_path / "copy"

    def copy() -> Path:
        elsewhere.stop()
        subprocess.run(["cp", "--archive", str(elsewhere.folder), str(folder)], check=True)
        elsewhere.pid = PostgresServer.start(elsewhere.folder, elsewhere.port).pid
        return folder

    with guarded(folder):
        yield copy


def test_an_older_copy_of_the_server_is_refused_until_a_person_has_it_read_in_full(
    designs_elsewhere: Any, copied: Callable[[], Path]
) -> None:
    ingest, folder = designs_elsewhere, copied()
    ingest.execute(insert(4), rename(1, "Forgotten"))
    assert ingest.keys(ingest.tick(), "design") == [1, 4]
    ingest.move_to(Database(PostgresServer.start(folder), ingest.source.dbname))
    ingest.execute(insert(5))
    for _ in range(2):
        with pytest.raises(RetriableError, match=r"read it as it is: scripts/totesys run --full$"):
            ingest.tick()
    assert ingest.keys(ingest.tick(full=True, accept_deletes=["design"]), "design") == [1, 2, 3, 5]
    ingest.execute(insert(6))
    assert ingest.keys(ingest.tick(), "design") == [6]


@pytest.fixture
def turning(designs_elsewhere: Any, copied: Callable[[], Path]) -> Any:
    """Ingest of a server whose designs 1, 2 and 3 are frozen, and whose 32-bit transaction counter turns after a few transactions."""
    for dbname in ("postgres", designs_elsewhere.source.dbname):
        outside_transactions(Database(designs_elsewhere.source.server, dbname), "VACUUM (FREEZE)")
    folder = copied()
    turn_soon(folder, TURN - 40)
    source = Database(PostgresServer.start(folder, options={"autovacuum": "off"}), designs_elsewhere.source.dbname)
    # All rows are frozen: true of any transaction, also of the newest.
    for catalog, column in (("pg_class", "relfrozenxid"), ("pg_database", "datfrozenxid")):
        outside_transactions(source, f"UPDATE {catalog} SET {column} = '{TURN - 40}' WHERE {column} <> '0'")
    designs_elsewhere.move_to(source)
    assert designs_elsewhere.keys(designs_elsewhere.tick(full=True), "design") == [1, 2, 3]
    return designs_elsewhere


def turn_soon(folder: Path, next_transaction: int) -> None:
    data = folder / "data"
    run(
        ["pg_resetwal", f"--pgdata={data}", f"--next-transaction-id={next_transaction}", f"--oldest-transaction-id={next_transaction}"],
        folder,
    )
    segment = data / "pg_xact" / f"{next_transaction // (SEGMENT * 4):04X}"
    segment.write_bytes(bytes(SEGMENT))
    shutil.chown(segment, data.stat().st_uid)
    segment.chmod(0o600)


def outside_transactions(source: Database, statement: str) -> None:
    """Runs a statement that only a superuser may run, or that no transaction may hold."""
    with closing(source.connect_as_superuser()) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(statement)


def burn(source: Database, transactions: int) -> None:
    """Uses up transaction ids."""
    outside_transactions(source, f"DO $$ BEGIN FOR i IN 1..{transactions} LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$")


def test_the_turn_of_the_transaction_counter_loses_nothing_and_repeats_nothing(turning: Any) -> None:
    turning.execute(insert(4))
    assert turning.keys(turning.tick(), "design") == [4]
    with transaction(turning.source) as early:
        early.execute(insert(5))
        turning.execute(insert(6))
        before_the_turn = turning.tick()
        assert turning.keys(before_the_turn, "design") == [6]
        burn(turning.source, 40)
        turning.execute(insert(7), rename(1, "After the turn"))
        around_the_turn = turning.tick()
        assert turning.keys(around_the_turn, "design") == [1, 7]
        assert turning.keys(turning.tick(), "design") == []
        outside_transactions(turning.source, "VACUUM (FREEZE) design")
        turning.execute(rename(4, "Frozen, then changed"))
        assert turning.keys(turning.tick(), "design") == [4]
        turning.execute(rename(6, "Seen, then changed"))
        assert turning.keys(turning.tick(), "design") == [6]
    assert turning.keys(turning.tick(), "design") == [5]
    after_the_turn = turning.tick()
    assert turning.keys(after_the_turn, "design") == []
    xmins = [batch.tables["design"].capture_xmin for batch in (before_the_turn, around_the_turn, after_the_turn)]
    assert xmins[0] == xmins[1] < TURN < xmins[2]
    assert before_the_turn.snapshot_xmax < TURN < around_the_turn.snapshot_xmax


def test_a_row_frozen_a_whole_turn_ago_may_be_read_again_and_that_is_all(turning: Any) -> None:
    burn(turning.source, 100)
    outside_transactions(turning.source, "VACUUM (FREEZE) design")
    assert turning.keys(turning.tick(), "design") == []
    [(frozen,)] = turning.query("SELECT DISTINCT xmin::text::bigint FROM design")
    assert frozen > 500, "the transaction of a turn ago is ahead of the counter again"
    burn(turning.source, frozen)
    turning.execute(insert(4))
    batch = turning.tick()
    assert (turning.keys(batch, "design"), batch.tables["design"].mode) == ([1, 2, 3, 4], "delta")
    assert turning.keys(turning.tick(), "design") == []
