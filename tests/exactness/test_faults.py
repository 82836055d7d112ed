"""The proxies themselves: what they let through comes whole, and what they lose is lost as they say."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import boto3
import psycopg2
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError

from local_aws.environment import REGION
from tests.conftest import Database
from tests.exactness.faults import Calls, Effect, Fault
from tests.exactness.http_proxy import HttpProxy, call_name
from tests.exactness.postgres_proxy import PostgresProxy, statement_name
from tests.support.local_aws.machine import LocalAws

LARGE = bytes(range(256)) * (12 << 12)  # 12 MiB: boto3 uploads it in parts, and Expect: 100-continue goes before each


@dataclass(frozen=True)
class Way:
    """A way to AWS through a proxy, and one past it."""

    calls: Calls
    proxy: HttpProxy
    bucket: str
    s3: Any
    direct: Any

    def put(self, key: str) -> str:
        """The name of a call that puts this key."""
        return f"s3 PUT {self.bucket.rpartition('-')[2]} {key}"

    def keys(self) -> list[str]:
        return [entry["Key"] for entry in self.direct.list_objects_v2(Bucket=self.bucket).get("Contents", ())]


@pytest.fixture
def way(aws: LocalAws, new_bucket: Any) -> Iterator[Way]:
    calls = Calls()
    with closing(HttpProxy(aws.endpoint, calls)) as proxy:
        s3 = boto3.client(
            "s3", endpoint_url=proxy.endpoint, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1, "mode": "standard"}),
        )  # fmt: skip
        yield Way(calls, proxy, new_bucket().name, s3, aws.s3)


def test_objects_come_whole_through_the_proxy(way: Way) -> None:
    way.s3.upload_fileobj(io.BytesIO(LARGE), way.bucket, "large")

    assert way.s3.get_object(Bucket=way.bucket, Key="large")["Body"].read() == LARGE


def test_a_chunked_body_comes_whole_through_the_proxy(way: Way) -> None:
    signed = urlsplit(way.direct.generate_presigned_url("put_object", Params={"Bucket": way.bucket, "Key": "chunked"}))
    connection = HTTPConnection(urlsplit(way.proxy.endpoint).netloc)
    connection.request("PUT", f"{signed.path}?{signed.query}", body=iter([b"one, ", b"two"]), encode_chunked=True)

    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    assert way.s3.get_object(Bucket=way.bucket, Key="chunked")["Body"].read() == b"one, two"


def test_calls_are_named_without_their_ids() -> None:
    target = {"X-Amz-Target": "AWSGlue.BatchUpdatePartition"}
    assert call_name("POST", "/", target, b'{"DatabaseName": "w1_star", "TableName": "dim_staff"}') == (
        "glue BatchUpdatePartition star.dim_staff"
    )
    assert call_name("PUT", "/w1-processed/_manifests/9999999998.json", {}, b"") == "s3 PUT processed _manifests"
    assert call_name("GET", "/w1-ingestion?list-type=2&prefix=_manifests%2F", {}, b"") == "s3 LIST ingestion _manifests"
    assert call_name("PUT", "/w1-processed/mirror/staff/publish_id=1/key_range=0/part.parquet", {}, b"") == "s3 PUT processed mirror/staff"


def test_a_refused_call_never_arrives_and_no_later_one_does(way: Way) -> None:
    way.calls.arm(Fault(way.put("second"), 1, Effect.REFUSED))

    way.s3.put_object(Bucket=way.bucket, Key="first", Body=b"")
    for key in ("second", "third"):
        with pytest.raises(ConnectionClosedError):
            way.s3.put_object(Bucket=way.bucket, Key=key, Body=b"")

    assert way.keys() == ["first"]


def test_a_call_whose_answer_is_lost_is_done_and_the_last(way: Way) -> None:
    way.calls.arm(Fault(way.put("first"), 1, Effect.ANSWER_LOST))

    for key in ("first", "second"):
        with pytest.raises(ConnectionClosedError):
            way.s3.put_object(Bucket=way.bucket, Key=key, Body=b"")

    assert way.keys() == ["first"]


def test_an_answer_that_is_lost_once_is_followed_by_others(way: Way) -> None:
    way.calls.arm(Fault(way.put("first"), 1, Effect.ANSWER_LOST_ONCE))

    with pytest.raises(ConnectionClosedError):
        way.s3.put_object(Bucket=way.bucket, Key="first", Body=b"")

    with pytest.raises(ClientError, match="PreconditionFailed"):
        way.s3.put_object(Bucket=way.bucket, Key="first", Body=b"", IfNoneMatch="*")


def test_an_unavailable_service_asks_to_slow_down(way: Way) -> None:
    way.calls.arm(Fault(way.put("first"), 1, Effect.UNAVAILABLE_ONCE))

    with pytest.raises(ClientError, match="SlowDown"):
        way.s3.put_object(Bucket=way.bucket, Key="first", Body=b"")

    way.s3.put_object(Bucket=way.bucket, Key="first", Body=b"")
    assert way.keys() == ["first"]


@dataclass(frozen=True)
class WarehouseSession:
    """A way to a database through a proxy, and one past it."""

    calls: Calls
    proxy: PostgresProxy
    database: Database

    def connect(self) -> Any:
        url = self.database.url.replace(str(self.database.server.port), str(self.proxy.port))
        return psycopg2.connect(url, sslmode="prefer")

    def codes(self) -> list[str]:
        with closing(self.database.connect()) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT currency_code FROM currency ORDER BY currency_id")
            return [code for (code,) in cursor]


@pytest.fixture
def session(source: Database) -> Iterator[WarehouseSession]:
    calls = Calls()
    with closing(PostgresProxy(("127.0.0.1", source.server.port), "source", calls)) as proxy:
        yield WarehouseSession(calls, proxy, source)


INSERT = "INSERT INTO currency (currency_code, last_updated) VALUES (%s, now())"


def test_statements_are_named_without_values() -> None:
    assert statement_name("INSERT INTO currency (currency_code) VALUES ('GBP')") == "INSERT INTO currency"
    assert (
        statement_name("WITH due AS (DELETE FROM due RETURNING x) INSERT INTO public.paid SELECT x FROM due") == "INSERT INTO public.paid"
    )
    assert statement_name("SELECT 'secret', 5") == "SELECT"
    assert statement_name("SELECT 'secret' FROM etl.load_ledger") == "SELECT etl.load_ledger"
    assert statement_name("DROP TABLE etl.staging_0123abcd_dim_staff") == "DROP TABLE etl.staging_dim_staff"


def test_a_copy_comes_whole_through_the_proxy(session: WarehouseSession) -> None:
    lines = "".join(f"{number:03}\t2026-03-02\n" for number in range(1000)) * 100
    with closing(session.connect()) as connection, connection.cursor() as cursor:
        cursor.copy_expert("COPY currency (currency_code, last_updated) FROM STDIN", io.StringIO(lines))
        received = io.StringIO()
        cursor.copy_expert("COPY (SELECT currency_code, last_updated::date FROM currency ORDER BY currency_id) TO STDOUT", received)

    assert received.getvalue() == lines
    assert session.calls.seen == ["source BEGIN", "source COPY currency", "source COPY"]


def test_a_refused_statement_never_arrives_and_no_later_connection_does(session: WarehouseSession) -> None:
    session.calls.arm(Fault("source COMMIT", 1, Effect.REFUSED))

    with closing(session.connect()) as connection, pytest.raises(psycopg2.OperationalError), connection.cursor() as cursor:
        cursor.execute(INSERT, ("GBP",))
        connection.commit()
    with pytest.raises(psycopg2.OperationalError):
        session.connect()

    assert session.codes() == []


def test_a_statement_whose_answer_is_lost_is_done(session: WarehouseSession) -> None:
    session.calls.arm(Fault("source COMMIT", 1, Effect.ANSWER_LOST))

    with closing(session.connect()) as connection, pytest.raises(psycopg2.OperationalError), connection.cursor() as cursor:
        cursor.execute(INSERT, ("GBP",))
        connection.commit()

    assert session.codes() == ["GBP"]
    session.calls.arm(None)
    with closing(session.connect()) as connection:
        assert connection.status == psycopg2.extensions.STATUS_READY


def test_the_death_of_a_process_ends_its_connections_to_databases_too(session: WarehouseSession) -> None:
    session.calls.arm(Fault("s3 PUT somewhere", 1, Effect.REFUSED))
    with closing(session.connect()) as connection, connection.cursor() as cursor:
        cursor.execute(INSERT, ("GBP",))
        assert session.calls.meet("s3 PUT somewhere") is Effect.REFUSED

        with pytest.raises(psycopg2.OperationalError):
            connection.commit()

    assert session.codes() == []
