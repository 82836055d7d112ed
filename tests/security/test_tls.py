"""Both databases by TLS: never in the clear where TLS is required, and only with a certificate that the given authority has signed."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
import trustme
from pyspark.sql import SparkSession
from sqlalchemy import MetaData, Table, text
from totesys.errors import FatalError, RetriableError
from totesys.ingest.source import open_source
from totesys.load.failures import spark_errors, warehouse_errors
from totesys.load.staging import StagingWriter
from totesys.load.warehouse import warehouse_engine
from totesys.secrets import Credentials

from tests.conftest import Database
from tests.security.tls_proxy import TlsProxy


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(warehouse: Database, authority: trustme.CA) -> Iterator[TlsProxy]:
    """A server with a certificate for localhost, and not for 127.0.0.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with closing(TlsProxy(("127.0.0.1", warehouse.server.port), context)) as proxy:
        yield proxy


@pytest.fixture
def verified(warehouse: Database, tls: TlsProxy, authority: trustme.CA) -> Credentials:
    ca = authority.cert_pem.bytes().decode()
    return replace(warehouse.credentials, host="localhost", port=tls.port, sslmode="verify-full", ca=ca)


def stranger() -> str:
    return trustme.CA().cert_pem.bytes().decode()


def by_load(credentials: Credentials) -> Any:
    with warehouse_errors(credentials), warehouse_engine(credentials, "totesys-load-test").connect() as connection:
        return connection.scalar(text("SELECT 1"))


def by_ingest(credentials: Credentials) -> Any:
    with open_source(credentials) as source:
        return source.snapshot().text


@pytest.mark.parametrize("connect", [by_ingest, by_load])
def test_a_server_whose_certificate_is_of_the_authority_is_trusted(tls: TlsProxy, verified: Credentials, connect: Any) -> None:
    assert connect(verified)
    assert (tls.encrypted, tls.plain) == (1, 0)


@pytest.mark.parametrize("connect", [by_ingest, by_load])
@pytest.mark.parametrize("wrong", [{"ca": stranger()}, {"host": "127.0.0.1"}], ids=["another authority", "another name"])
def test_another_authority_or_name_is_refused(tls: TlsProxy, verified: Credentials, connect: Any, wrong: dict[str, str]) -> None:
    with pytest.raises(FatalError, match=r"certificate.* secret right$"):
        connect(replace(verified, **wrong))
    assert tls.plain == 0


@pytest.mark.parametrize("connect", [by_ingest, by_load])
def test_what_requires_tls_does_not_speak_to_a_server_without(warehouse: Database, connect: Any) -> None:
    with pytest.raises(FatalError, match=r"does not support SSL.* secret right$"):
        connect(replace(warehouse.credentials, sslmode="require"))


def test_a_session_by_tls_that_breaks_during_the_load_is_tried_again(tls: TlsProxy, verified: Credentials) -> None:
    with (
        pytest.raises(RetriableError, match=r"broke off the session \(SSL .*\): the next run tries again$"),
        warehouse_errors(verified),
        warehouse_engine(verified, "totesys-load-test").connect() as connection,
    ):
        connection.execute(text("SELECT 1"))
        tls.cut()
        connection.execute(text("SELECT 1"))


def test_a_session_by_tls_that_breaks_during_ingest_is_tried_again(tls: TlsProxy, verified: Credentials) -> None:
    with pytest.raises(RetriableError, match=r"broke off the session .*: the next run tries again$"), open_source(verified) as source:
        source.snapshot()
        tls.cut()
        source.snapshot()


@pytest.fixture
def table(warehouse: Database) -> Table:
    with closing(warehouse.connect()) as connection, connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE numbers (id bigint)")
    return Table("numbers", MetaData(schema="public"))


def test_spark_writes_by_tls_to_the_server_that_it_trusts(
    tls: TlsProxy, verified: Credentials, spark: SparkSession, table: Table, warehouse: Database
) -> None:
    StagingWriter(verified, "abcdef01", options="").write(spark.range(3), table, at_most=3)
    with closing(warehouse.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM numbers")
        assert cursor.fetchone() == (3,)
    assert tls.encrypted > 0
    assert tls.plain == 0


@pytest.mark.parametrize("wrong", [{"ca": stranger()}, {"host": "127.0.0.1"}], ids=["another authority", "another name"])
def test_spark_refuses_another_authority_or_name(
    tls: TlsProxy, verified: Credentials, spark: SparkSession, table: Table, wrong: dict[str, str]
) -> None:
    credentials = replace(verified, **wrong)
    with pytest.raises((FatalError, RetriableError)), spark_errors(credentials):
        StagingWriter(credentials, "abcdef01", options="").write(spark.range(3), table, at_most=3)
    assert tls.plain == 0
