"""Everything is deleted, and made again from a live source by two commands. The last of these tests: it takes the stack's data away."""

from __future__ import annotations

import pytest

from tests.acceptance.conftest import RunningStack


def test_everything_is_deleted_and_made_again_from_a_live_source(stack: RunningStack, capsys: pytest.CaptureFixture[str]) -> None:
    destroyed = stack.script("destroy.sh", "--yes")
    assert destroyed.code == 0, destroyed.err
    assert stack.client("s3").list_buckets()["Buckets"] == []
    assert stack.client("glue").get_databases()["DatabaseList"] == []
    empty_warehouse(stack)
    deployed, loaded = stack.script("deploy.sh"), stack.totesys("run")
    assert (deployed.code, loaded.code) == (0, 0), deployed.err + loaded.err
    with capsys.disabled():
        parts = [f"destroy {destroyed.seconds:.1f} s", f"deploy {deployed.seconds:.1f} s", f"run {loaded.seconds:.1f} s"]
        print(f"\nrebuilt from nothing in {deployed.seconds + loaded.seconds:.1f} s: {', '.join(parts)}")
    reconciled, status = stack.totesys("reconcile"), stack.totesys("status")
    assert reconciled.code == 0, reconciled.out
    complaints = [line for line in status.out.splitlines() if line.startswith("needs a person: ")]
    # A rebuild of everything may take twice as long as the last day's deltas, and that alarm says so.
    assert all(line.startswith("needs a person: alarm totesys-slow-") for line in complaints), status.out
    assert status.code == (1 if complaints else 0), status.out + status.err
    assert complaints or status.out.endswith("all is well\n"), status.out + status.err


def empty_warehouse(stack: RunningStack) -> None:
    """Takes the old lake's rows out, as a person does: destroy.sh leaves the warehouse as it is."""
    tables = [table for (table,) in stack.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    with stack.connect("warehouse") as connection, connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA IF EXISTS etl CASCADE")
        for table in tables:
            cursor.execute(f"DROP TABLE {table} CASCADE")
