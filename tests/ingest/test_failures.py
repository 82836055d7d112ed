"""What a person reads when ingest fails: what, where and what to do, and neither secrets nor values."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from totesys.demands import Demands
from totesys.errors import BadDataError, FatalError, PipelineError, RetriableError
from totesys.ingest import job, source

from local_totesys.postgres import free_port

INSERT = "INSERT INTO currency (currency_id, currency_code, created_at, last_updated) VALUES ({}, 'GBP', '2024-01-05', '2024-01-05')"


def failure(ingest: Any, kind: type[PipelineError]) -> str:
    """The message of a run that fails, which leaves no new batch."""
    before = ingest.raw.first_key("_manifests/")
    with pytest.raises(kind) as raised:
        job.run(ingest.arguments, ingest.clients, ingest.contracts, Demands())
    assert before == ingest.raw.first_key("_manifests/")
    assert raised.value.__suppress_context__ or not isinstance(raised.value.__context__, source.psycopg2.Error)
    return str(raised.value)


def test_a_wrong_password_is_named_without_the_password(ingest: Any) -> None:
    ingest.put_secret(replace(ingest.credentials, password="wr0ng-secret"))
    message = failure(ingest, FatalError)
    assert "ingest_reader" in message
    assert "put the source's secret right" in message
    assert "wr0ng-secret" not in message


def test_a_source_that_is_down_is_tried_again_later(ingest: Any) -> None:
    ingest.put_secret(replace(ingest.credentials, port=free_port()))
    assert "cannot be reached" in failure(ingest, RetriableError)


def test_a_missing_bucket_is_named(ingest: Any) -> None:
    ingest.arguments = replace(ingest.arguments, ingestion_bucket="no-such-bucket")
    with pytest.raises(FatalError, match=r"s3://no-such-bucket/.*NoSuchBucket.*scripts/deploy\.sh"):
        job.run(ingest.arguments, ingest.clients, ingest.contracts, Demands())


def test_a_missing_secret_is_named(ingest: Any) -> None:
    ingest.arguments = replace(ingest.arguments, source_secret="no/such/secret")
    assert "secret no/such/secret" in failure(ingest, FatalError)


def test_a_table_that_somebody_has_locked_is_tried_again_later(ingest: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(source._OPTIONS, "lock_timeout", "50ms")
    with closing(ingest.source.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLE staff IN ACCESS EXCLUSIVE MODE")
        assert "locking staff" in failure(ingest, RetriableError)


def test_a_missing_right_is_named_with_the_grant(ingest: Any) -> None:
    ingest.execute("REVOKE SELECT ON payment FROM ingest_reader", "GRANT SELECT (payment_id) ON payment TO ingest_reader")
    message = failure(ingest, FatalError)
    assert "locking payment" in message
    assert "grant the job's role SELECT" in message


def test_a_missing_table_is_named(ingest: Any) -> None:
    ingest.execute("DROP TABLE payment")
    assert "locking payment" in failure(ingest, BadDataError)


def test_drift_of_the_structure_is_named_column_by_column_before_anything_is_read(ingest: Any) -> None:
    ingest.execute(
        "ALTER TABLE currency ALTER COLUMN currency_code TYPE text",
        "ALTER TABLE staff ALTER COLUMN first_name DROP NOT NULL",
        "ALTER TABLE design RENAME COLUMN file_name TO filename",
        "ALTER TYPE transaction_type ADD VALUE 'GIFT'",
        "ALTER TABLE address ENABLE ROW LEVEL SECURITY",
    )
    message = failure(ingest, BadDataError)
    assert "currency.currency_code: expected character varying(3), found text" in message
    assert "staff.first_name: expected NOT NULL, found that nulls are allowed" in message
    assert "design.file_name: expected text, found no such column" in message
    assert "transaction.transaction_type: expected the labels SALE, PURCHASE, found also GIFT" in message
    assert "address hides rows by row level security" in message


def test_a_column_beyond_the_contract_is_left_alone(ingest: Any) -> None:
    ingest.execute("ALTER TABLE currency ADD COLUMN symbol text", INSERT.format(1))
    assert "symbol" not in ingest.rows(ingest.tick(), "currency")[0]


def test_a_negative_key_is_refused(ingest: Any) -> None:
    ingest.execute(INSERT.format(-5))
    message = failure(ingest, BadDataError)
    assert "currency.currency_id holds a negative key" in message
    assert "-5" not in message


def test_a_value_beyond_the_types_of_the_lake_is_named_by_its_column(ingest: Any) -> None:
    ingest.execute(INSERT.format(1), "UPDATE currency SET created_at = 'infinity'")
    message = failure(ingest, BadDataError)
    assert "currency.created_at holds a value that is not timestamp" in message
    assert "infinity" not in message


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
    assert "the session broke off" in failure(ingest, RetriableError)


def test_a_session_reads_one_snapshot_and_writes_nothing(ingest: Any) -> None:
    with source.open_source(ingest.credentials) as session:
        before = session.count({"currency": session.snapshot().xmin})
        ingest.execute(INSERT.format(1))
        assert session.count({"currency": session.snapshot().xmin}) == before
        with pytest.raises(PipelineError, match="25006"):
            session._execute(INSERT.format(2), "writing")


def test_a_lock_that_fails_leaves_the_session_fit_for_other_tables(ingest: Any) -> None:
    ingest.execute("DROP TABLE payment")
    with source.open_source(ingest.credentials) as session:
        with pytest.raises(BadDataError):
            session.lock("payment")
        session.lock("staff")
        assert list(session.structure(["payment", "staff"])) == ["staff"]
