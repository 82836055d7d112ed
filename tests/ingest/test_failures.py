"""What a person reads when ingest fails: what, where and what to do, and neither secrets nor values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from totesys.errors import FatalError, PipelineError, RetriableError
from totesys.ingest import job, source
from totesys.ingest.source import Counted, TableError
from totesys.lake import layout
from totesys.runtime.run_request import RunRequest

from local_totesys.postgres import free_port

INSERT = "INSERT INTO currency (currency_id, currency_code, created_at, last_updated) VALUES ({}, 'GBP', '2024-01-05', '2024-01-05')"


def failure(ingest: Any, kind: type[PipelineError]) -> str:
    """The message of a run that fails, which leaves no new batch."""
    before = ingest.raw.first_key("_manifests/", layout.is_manifest)
    with pytest.raises(kind) as raised:
        job.run(ingest.arguments, ingest.clients, ingest.contracts, RunRequest())
    assert before == ingest.raw.first_key("_manifests/", layout.is_manifest)
    assert raised.value.__suppress_context__ or not isinstance(raised.value.__context__, source.psycopg2.Error)
    return str(raised.value)


def test_a_wrong_password_is_named_without_the_password(ingest: Any) -> None:
    ingest.put_secret(replace(ingest.credentials, password="wr0ng-secret"))
    message = failure(ingest, FatalError)
    assert "ingest_reader" in message
    assert "correct the source's secret" in message
    assert "wr0ng-secret" not in message


def test_a_source_that_is_down_is_tried_again_later(ingest: Any) -> None:
    ingest.put_secret(replace(ingest.credentials, port=free_port()))
    assert "cannot be reached" in failure(ingest, RetriableError)


def test_a_missing_bucket_is_named(ingest: Any) -> None:
    ingest.arguments = replace(ingest.arguments, ingestion_bucket="no-such-bucket")
    with pytest.raises(FatalError, match=r"s3://no-such-bucket/.*NoSuchBucket.*scripts/deploy\.sh"):
        job.run(ingest.arguments, ingest.clients, ingest.contracts, RunRequest())


def test_a_missing_secret_is_named(ingest: Any) -> None:
    ingest.arguments = replace(ingest.arguments, source_secret="no/such/secret")
    assert "secret no/such/secret" in failure(ingest, FatalError)


def test_a_snapshot_is_not_held_for_ever(ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "SNAPSHOT_SECONDS", -1)
    monkeypatch.setitem(source._OPTIONS, "statement_timeout", "1s")
    assert "the snapshot of" in failure(ingest, RetriableError)


def test_a_statement_that_takes_too_long_is_given_up(ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "_SNAPSHOT", "SELECT pg_sleep(30)")
    monkeypatch.setitem(source._OPTIONS, "statement_timeout", "50ms")
    assert "taking the snapshot" in failure(ingest, RetriableError)


def test_a_session_that_the_source_ends_is_tried_again_later(ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "_SNAPSHOT", "SELECT pg_terminate_backend(pg_backend_pid())")
    assert "broke off the session" in failure(ingest, RetriableError)


def test_a_session_reads_one_snapshot_and_writes_nothing(ingest: Any) -> None:
    with source.open_source(ingest.credentials) as session:
        before = session.count({"currency": session.snapshot().xmin})
        ingest.execute(INSERT.format(1))
        assert session.count({"currency": session.snapshot().xmin}) == before == ({"currency": Counted(0, 0)}, {})
        with pytest.raises(PipelineError, match="25006"):
            session._execute(INSERT.format(2), "writing")


def test_a_lock_that_fails_leaves_the_session_fit_for_other_tables(ingest: Any) -> None:
    ingest.execute("DROP TABLE payment")
    with source.open_source(ingest.credentials) as session:
        with pytest.raises(TableError, match=r"42P01.: restore the table"):
            session.lock("payment")
        session.lock("staff")
        assert list(session.structure(["payment", "staff"])) == ["staff"]
