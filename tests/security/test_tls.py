"""Both databases by TLS: never in the clear where TLS is required, and only with a certificate that the given authority has signed."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import boto3
import pytest
import trustme
from moto import mock_aws
from pyspark.sql import SparkSession
from sqlalchemy import MetaData, Table, text
from totesys.errors import FatalError, RetriableError
from totesys.errors.warehouse import spark_errors, warehouse_errors
from totesys.ingest.source import open_source
from totesys.load.staging import StagingWriter
from totesys.runtime.secrets import Credentials
from totesys.warehouse.authority import with_one_certificate
from totesys.warehouse.server import warehouse_engine

from operations.deployment.databases import pipeline_databases, set_credentials
from tests.conftest import Database
from tests.security.tls_proxy import TlsProxy
from tests.support.local_aws.machine import free_port

_, WAREHOUSE = pipeline_databases("tls-test")


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


@pytest.fixture
def bundled(verified: Credentials) -> Credentials:
    """The authority is one among others, as in a vendor's bundle."""
    return replace(verified, ca=stranger() + verified.ca + stranger())


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
def test_a_server_whose_authority_is_one_of_a_bundle_is_trusted(tls: TlsProxy, bundled: Credentials, connect: Any) -> None:
    assert connect(bundled)
    assert (tls.encrypted, tls.plain) == (1, 0)


@pytest.mark.parametrize("connect", [by_ingest, by_load])
@pytest.mark.parametrize("wrong", [{"ca": stranger()}, {"host": "127.0.0.1"}], ids=["another authority", "another name"])
def test_another_authority_or_name_is_refused(tls: TlsProxy, verified: Credentials, connect: Any, wrong: dict[str, str]) -> None:
    with pytest.raises(FatalError, match=r"certificate.*'s secret$"):
        connect(replace(verified, **wrong))
    assert tls.plain == 0


@pytest.mark.parametrize("connect", [by_ingest, by_load])
def test_what_requires_tls_does_not_speak_to_a_server_without(warehouse: Database, connect: Any) -> None:
    with pytest.raises(FatalError, match=r"does not support SSL.*'s secret$"):
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


def test_spark_trusts_the_one_of_a_bundle_that_proves_the_server(
    tls: TlsProxy, bundled: Credentials, verified: Credentials, spark: SparkSession, table: Table, warehouse: Database
) -> None:
    one = with_one_certificate(bundled)
    assert one == verified
    StagingWriter(one, "abcdef01", options="").write(spark.range(3), table, at_most=3)
    with closing(warehouse.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM numbers")
        assert cursor.fetchone() == (3,)
    assert tls.plain == 0


def test_a_bundle_without_the_authority_is_refused_before_spark_writes(bundled: Credentials) -> None:
    with pytest.raises(FatalError, match=r"none of the 2 certificates for .* alone proves who the server is: add the certificate of"):
        with_one_certificate(replace(bundled, ca=stranger() + stranger()))


def test_a_server_that_is_gone_is_not_blamed_on_its_certificate(bundled: Credentials) -> None:
    gone = replace(bundled, port=free_port())
    with pytest.raises(RetriableError, match="cannot be reached"):
        with_one_certificate(gone)


@pytest.fixture
def secret() -> Iterator[Any]:
    """Secrets Manager with a secret for the warehouse, without a value."""
    with mock_aws():
        client = boto3.client("secretsmanager", "eu-west-2", aws_access_key_id="test", aws_secret_access_key="test")
        client.create_secret(Name=WAREHOUSE.secret)
        yield client


def deployed(verified: Credentials, path: Path, password: str) -> dict[str, str]:
    """The environment of a deploy that names the warehouse behind the proxy, and a file with certificates."""
    url = f"postgresql://{verified.username}{password}@{verified.host}:{verified.port}/{verified.dbname}"
    return {"TOTESYS_WAREHOUSE_URL": url, "TOTESYS_WAREHOUSE_CA": str(path)}


def test_a_deploy_verifies_the_server_by_a_bundle_and_so_do_the_jobs_after_it(
    secret: Any, tls: TlsProxy, bundled: Credentials, tmp_path: Path
) -> None:
    path = tmp_path / "eu-west-2-bundle.pem"
    path.write_text(bundled.ca)
    credentials, _ = set_credentials(secret, WAREHOUSE, deployed(bundled, path, f":{bundled.password}"))
    assert (credentials.username, credentials.sslmode, credentials.ca) == ("tls_test_load", "verify-full", bundled.ca)
    assert by_load(credentials) == 1
    assert tls.plain == 0


def test_certificates_come_into_a_secret_that_has_none_without_a_password(
    secret: Any, tls: TlsProxy, bundled: Credentials, tmp_path: Path
) -> None:
    path = tmp_path / "bundle.pem"
    path.write_text(bundled.ca)
    held = replace(bundled, sslmode="require", ca="")
    secret.put_secret_value(SecretId=WAREHOUSE.secret, SecretString=json.dumps(asdict(held)))
    environment = deployed(bundled, path, "")
    assert set_credentials(secret, WAREHOUSE, environment) == (bundled, "updated")
    assert set_credentials(secret, WAREHOUSE, environment) == (bundled, "unchanged")
    del environment["TOTESYS_WAREHOUSE_CA"]
    assert set_credentials(secret, WAREHOUSE, environment) == (bundled, "unchanged")

    path.write_text(stranger())
    with pytest.raises(FatalError, match=r"certificate verify failed.*: correct TOTESYS_WAREHOUSE_URL or TOTESYS_WAREHOUSE_CA"):
        set_credentials(secret, WAREHOUSE, deployed(bundled, path, ""))


def test_certificates_of_a_server_that_only_the_jobs_can_reach_are_stored_without_a_trial(
    secret: Any, bundled: Credentials, tmp_path: Path
) -> None:
    path = tmp_path / "bundle.pem"
    path.write_text(bundled.ca)
    held = replace(bundled, port=free_port(), sslmode="require", ca="")
    secret.put_secret_value(SecretId=WAREHOUSE.secret, SecretString=json.dumps(asdict(held)))
    wanted = replace(held, sslmode="verify-full", ca=bundled.ca)
    assert set_credentials(secret, WAREHOUSE, deployed(held, path, "")) == (wanted, "updated")


@pytest.mark.parametrize("wrong", [{"ca": stranger()}, {"host": "127.0.0.1"}], ids=["another authority", "another name"])
def test_spark_refuses_another_authority_or_name(
    tls: TlsProxy, verified: Credentials, spark: SparkSession, table: Table, wrong: dict[str, str]
) -> None:
    credentials = replace(verified, **wrong)
    with pytest.raises((FatalError, RetriableError)), spark_errors(credentials):
        StagingWriter(credentials, "abcdef01", options="").write(spark.range(3), table, at_most=3)
    assert tls.plain == 0
