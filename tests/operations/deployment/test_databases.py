"""The pipeline's credentials: whose they are, when they change, and what is said when there are none."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import boto3
import psycopg2
import pytest
import trustme
from botocore.exceptions import EndpointConnectionError
from moto import mock_aws
from psycopg2 import sql
from totesys.contracts import load_contracts
from totesys.errors import FatalError, RetriableError

from operations.deployment.databases import DatabaseRole, given_credentials, pipeline_databases, read_secret, set_credentials, works
from operations.deployment.urls import parse_url, read_certificates
from tests import conftest

SOURCE, WAREHOUSE = pipeline_databases("credentials-test")


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Secrets Manager with the two secrets, as a stack leaves them: without a value."""
    monkeypatch.setattr("sys.stdin", io.StringIO())
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        client = boto3.client("secretsmanager", "eu-west-2", aws_access_key_id="test", aws_secret_access_key="test")
        for database in (SOURCE, WAREHOUSE):
            client.create_secret(Name=database.secret)
        yield client


def execute(database: conftest.Database, statement: sql.Composable) -> None:
    connection = database.connect()
    with connection, connection.cursor() as cursor:
        cursor.execute(statement)
    connection.close()


def test_a_role_of_its_own_is_made_and_its_password_is_kept_while_it_works(secrets: Any, source: conftest.Database) -> None:
    environment = {"TOTESYS_SOURCE_URL": source.url}
    first, outcome = set_credentials(secrets, SOURCE, environment)
    assert (first.username, outcome) == ("credentials_test_ingest", "created")
    assert works(first)
    assert set_credentials(secrets, SOURCE, environment) == (first, "unchanged")
    assert read_secret(secrets, SOURCE.secret) == first


def test_a_password_that_no_longer_works_is_replaced(secrets: Any, source: conftest.Database) -> None:
    environment = {"TOTESYS_SOURCE_URL": source.url}
    first, _ = set_credentials(secrets, SOURCE, environment)
    execute(source, sql.SQL("ALTER ROLE credentials_test_ingest PASSWORD 'other'"))
    second, outcome = set_credentials(secrets, SOURCE, environment)
    assert outcome == "updated"
    assert works(second) and not works(first)


def loses_the_answer(client: Any) -> Any:
    """A client that dies before it stores a value."""
    dying = Mock(wraps=client, exceptions=client.exceptions)
    dying.put_secret_value.side_effect = EndpointConnectionError(endpoint_url="https://secretsmanager.example")
    return dying


@pytest.mark.parametrize("lost", ["emptied", "deleted and made again", "never stored"])
@pytest.mark.parametrize("database", [SOURCE, WAREHOUSE], ids=["source", "warehouse"])
def test_after_a_lost_secret_the_role_gets_a_new_password(
    secrets: Any, source: conftest.Database, warehouse: conftest.Database, database: DatabaseRole, lost: str
) -> None:
    environment = {"TOTESYS_SOURCE_URL": source.url, "TOTESYS_WAREHOUSE_URL": warehouse.url}
    if lost == "never stored":
        with pytest.raises(EndpointConnectionError):
            set_credentials(loses_the_answer(secrets), database, environment)
        assert read_secret(secrets, database.secret) is None
    else:
        set_credentials(secrets, database, environment)
        secrets.put_secret_value(SecretId=database.secret, SecretString="{}")
    if lost == "deleted and made again":
        secrets.delete_secret(SecretId=database.secret, ForceDeleteWithoutRecovery=True)
        secrets.create_secret(Name=database.secret)

    credentials, outcome = set_credentials(secrets, database, environment)

    assert (credentials.username, outcome) == (database.role, "created")
    assert works(credentials)
    assert set_credentials(secrets, database, environment) == (credentials, "unchanged")


def test_a_secret_that_is_scheduled_for_deletion_is_named_with_its_cure(secrets: Any, source: conftest.Database) -> None:
    secrets.delete_secret(SecretId=SOURCE.secret)
    with pytest.raises(FatalError, match=r"is scheduled for deletion: run aws secretsmanager restore-secret --secret-id credentials-test"):
        set_credentials(secrets, SOURCE, {"TOTESYS_SOURCE_URL": source.url})


def test_a_secret_that_was_deleted_is_named_with_the_way_back(secrets: Any, source: conftest.Database) -> None:
    secrets.delete_secret(SecretId=SOURCE.secret, ForceDeleteWithoutRecovery=True)
    with pytest.raises(FatalError, match=r"was deleted.*: run scripts/destroy\.sh --keep-data, then aws cloudformation delete-stack"):
        set_credentials(secrets, SOURCE, {"TOTESYS_SOURCE_URL": source.url})


def test_a_deploy_after_a_load_leaves_the_owner_the_rights_to_what_the_load_has_made(secrets: Any, warehouse: conftest.Database) -> None:
    environment = {"TOTESYS_WAREHOUSE_URL": warehouse.url}
    loads, _ = set_credentials(secrets, WAREHOUSE, environment)
    with closing(psycopg2.connect(**loads.libpq())) as connection, connection, connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA etl; CREATE TABLE etl.load_ledger (load_seq int); CREATE TABLE fact_payment (payment_id int)")

    assert set_credentials(secrets, WAREHOUSE, environment) == (loads, "unchanged")

    execute(warehouse, sql.SQL("SELECT * FROM fact_payment; DROP SCHEMA etl CASCADE; DROP TABLE fact_payment"))


@pytest.mark.parametrize("database", [SOURCE, WAREHOUSE], ids=["source", "warehouse"])
def test_a_role_that_another_has_made_is_named_with_its_cure(
    secrets: Any, source: conftest.Database, warehouse: conftest.Database, database: DatabaseRole
) -> None:
    """As after a change of the master user: since PostgreSQL 16, CREATEROLE gives no right to the roles of others."""
    environment = {"TOTESYS_SOURCE_URL": source.url, "TOTESYS_WAREHOUSE_URL": warehouse.url}
    database = replace(database, role=f"others_{database.name}")
    name = sql.Identifier(database.role)
    source.server.execute(sql.SQL("CREATE ROLE former CREATEROLE"))
    source.server.execute(sql.SQL("CREATE ROLE {}").format(name))
    source.server.execute(sql.SQL("GRANT {} TO former WITH ADMIN OPTION").format(name))
    try:
        with pytest.raises(FatalError) as caught:
            set_credentials(secrets, database, environment)
        assert str(caught.value) == (
            f"role {database.role} exists on 127.0.0.1:{source.server.port}, and user owner may not change it, because another role made"
            f" it: run as former or a superuser: GRANT {database.role} TO owner WITH ADMIN OPTION. Then deploy again"
        )
        source.server.execute(sql.SQL("GRANT {} TO owner WITH ADMIN OPTION").format(name))
        assert works(set_credentials(secrets, database, environment)[0])
    finally:
        for place in (source, warehouse):
            place.execute_as_superuser(f"DROP OWNED BY {database.role}")
        source.server.execute(sql.SQL("DROP ROLE {}, former").format(name))


def test_rights_that_the_owner_of_the_tables_may_not_pass_on_are_named(secrets: Any, source: conftest.Database) -> None:
    """A role with CREATEROLE owns the tables and not the database, whose schema public is therefore not its own."""
    tables = (f"ALTER TABLE {table} OWNER TO keeper" for table in load_contracts().source)
    source.execute_as_superuser("CREATE ROLE keeper LOGIN CREATEROLE PASSWORD 'plain'", *tables)
    environment = {"TOTESYS_SOURCE_URL": source.server.url(source.dbname, "keeper", "plain")}
    database = replace(SOURCE, role="keepers_ingest")
    try:
        assert works(set_credentials(secrets, database, environment)[0])  # everybody has USAGE on public, and CONNECT
        execute(source, sql.SQL("REVOKE USAGE ON SCHEMA public FROM PUBLIC; GRANT USAGE ON SCHEMA public TO keeper"))
        with pytest.raises(FatalError) as caught:
            set_credentials(secrets, database, environment)
        assert str(caught.value) == (
            "keepers_ingest did not get its rights on schema public of owner, because user keeper does not own them:"
            " let TOTESYS_SOURCE_URL name that owner, or make keeper a member of that owner"
        )
    finally:
        source.execute_as_superuser("DROP OWNED BY keepers_ingest, keeper", "DROP ROLE keepers_ingest, keeper")


def test_a_password_is_kept_where_the_server_cannot_say_whether_it_works(secrets: Any, source: conftest.Database) -> None:
    environment = {"TOTESYS_SOURCE_URL": source.url}
    first, _ = set_credentials(secrets, SOURCE, environment)
    execute(source, sql.SQL("ALTER ROLE credentials_test_ingest CONNECTION LIMIT 0"))
    with pytest.raises(RetriableError, match="too many connections for role"):
        set_credentials(secrets, SOURCE, environment)
    execute(source, sql.SQL("ALTER ROLE credentials_test_ingest CONNECTION LIMIT -1"))
    assert set_credentials(secrets, SOURCE, environment) == (first, "unchanged")


def test_a_role_that_may_make_roles_and_not_grant_is_named_with_its_cure(secrets: Any, source: conftest.Database) -> None:
    execute(source, sql.SQL("DROP ROLE IF EXISTS maker"))
    execute(source, sql.SQL("CREATE ROLE maker LOGIN CREATEROLE PASSWORD 'plain'"))
    with pytest.raises(FatalError, match=r"forbids user maker .*42501.*: let TOTESYS_SOURCE_URL name a role that may"):
        url = source.server.url(source.dbname, "maker", "plain")
        set_credentials(secrets, replace(SOURCE, role="makers"), {"TOTESYS_SOURCE_URL": url})
    execute(source, sql.SQL("DROP ROLE maker"))


def test_without_a_url_a_value_that_is_there_stays(secrets: Any) -> None:
    value = {"host": "db.example", "port": 5432, "dbname": "totesys", "username": "reader", "password": "p", "sslmode": "require"}
    secrets.put_secret_value(SecretId=SOURCE.secret, SecretString=json.dumps(value))
    credentials, outcome = set_credentials(secrets, SOURCE, {})
    assert (asdict(credentials), outcome) == ({**value, "ca": ""}, "unchanged")


def test_without_a_url_and_a_value_the_variable_is_named(secrets: Any) -> None:
    with pytest.raises(FatalError, match="secret credentials-test/warehouse has no value: set TOTESYS_WAREHOUSE_URL"):
        set_credentials(secrets, WAREHOUSE, {})


def test_a_role_that_may_not_make_roles_is_used_as_it_is(secrets: Any, source: conftest.Database) -> None:
    execute(source, sql.SQL("DROP ROLE IF EXISTS plain_reader"))
    execute(source, sql.SQL("CREATE ROLE plain_reader LOGIN PASSWORD 'plain'"))
    credentials, _ = set_credentials(secrets, SOURCE, {"TOTESYS_SOURCE_URL": source.server.url(source.dbname, "plain_reader", "plain")})
    assert (credentials.username, credentials.password) == ("plain_reader", "plain")
    execute(source, sql.SQL("DROP ROLE plain_reader"))


def test_a_server_that_is_down_is_named_with_both_ways_on(secrets: Any) -> None:
    with pytest.raises(RetriableError) as caught:
        set_credentials(secrets, SOURCE, {"TOTESYS_SOURCE_URL": "postgresql://owner:secret-word@127.0.0.1:9/totesys"})
    message = str(caught.value)
    assert message.startswith("the source, totesys on 127.0.0.1:9, cannot be reached (Connection refused): start it or correct")
    assert "put its credentials into secret credentials-test/source yourself" in message
    assert "secret-word" not in message and "\n" not in message


def test_a_wrong_password_is_named_and_not_shown(secrets: Any, source: conftest.Database) -> None:
    wrong = replace(source.credentials, password="secret-word")
    url = f"postgresql://{wrong.username}:{wrong.password}@{wrong.host}:{wrong.port}/{wrong.dbname}"
    with pytest.raises(FatalError, match=r"refuses user owner .*password authentication failed.*: correct TOTESYS_SOURCE_URL") as caught:
        set_credentials(secrets, SOURCE, {"TOTESYS_SOURCE_URL": url})
    assert "secret-word" not in str(caught.value)


def test_a_database_without_the_contracts_tables_is_not_the_source(secrets: Any, warehouse: conftest.Database) -> None:
    with pytest.raises(FatalError, match="none of the contracts' tables: TOTESYS_SOURCE_URL seems to name another database"):
        set_credentials(secrets, SOURCE, {"TOTESYS_SOURCE_URL": warehouse.url})


def test_load_may_write_to_warehouse_tables_that_others_have_made(secrets: Any, warehouse: conftest.Database) -> None:
    execute(warehouse, sql.SQL("CREATE TABLE fact_payment (payment_record_id serial PRIMARY KEY, payment_id int)"))
    credentials, _ = set_credentials(secrets, WAREHOUSE, {"TOTESYS_WAREHOUSE_URL": warehouse.url})
    connection = psycopg2.connect(**credentials.libpq())
    with connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO fact_payment (payment_id) VALUES (7) RETURNING payment_record_id")
        assert cursor.fetchone() == (1,)
    connection.close()


def test_a_warehouse_that_is_not_utf8_is_refused_before_a_role_is_made(secrets: Any, warehouse: conftest.Database) -> None:
    other = conftest.Database(warehouse.server, f"{warehouse.dbname}_latin1")
    create = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C'")
    warehouse.server.execute(create.format(sql.Identifier(other.dbname)))
    with pytest.raises(FatalError, match=r"has the encoding LATIN1.*ENCODING 'UTF8'"):
        set_credentials(secrets, pipeline_databases("latin-test")[1], {"TOTESYS_WAREHOUSE_URL": other.url})
    connection = warehouse.connect()
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_roles WHERE rolname = 'latin_test_load'")
        assert cursor.fetchone() is None
    connection.close()
    warehouse.server.drop_database(other.dbname)


AUTHORITY = trustme.CA().cert_pem.bytes().decode()


def bundle(folder: Path, text: str | None) -> str:
    """The path of a file with this text; of none when there is none."""
    path = folder / "ca.pem"
    if text is not None:
        path.write_text(text, "utf-8")
    return str(path)


def test_certificates_are_taken_from_a_file_and_the_server_is_then_verified(tmp_path: Path) -> None:
    other = trustme.CA().cert_pem.bytes().decode()
    path = bundle(tmp_path, f"# Réunion\n{AUTHORITY}\nanother:\n{other}")
    environment = {"TOTESYS_SOURCE_URL": "postgresql://reader:p@db.example/totesys", "TOTESYS_SOURCE_CA": path}
    credentials = given_credentials(None, SOURCE, environment)
    assert (credentials.sslmode, credentials.ca) == ("verify-full", AUTHORITY + other)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, r"cannot be read \(No such file or directory\): correct the path"),
        ("no certificate", "holds no certificate in PEM: name the authority's, or a bundle"),
        ("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", r"cannot be read \(.+\): correct the path, or the file"),
        (AUTHORITY * 120, r"with 120 certificates, which are more than a secret can hold .* region, such as eu-west-2-bundle\.pem"),
    ],
    ids=["no file", "no certificate", "damaged", "too many"],
)
def test_a_file_whose_certificates_cannot_be_used_is_refused(tmp_path: Path, text: str | None, said: str) -> None:
    with pytest.raises(FatalError, match=rf"TOTESYS_SOURCE_CA names .*ca\.pem.*{said}"):
        read_certificates(bundle(tmp_path, text), "TOTESYS_SOURCE_CA")


@pytest.mark.parametrize(
    ("query", "ca", "said"),
    [
        ("sslrootcert=ca.pem", "", "has sslrootcert, which is not read: take it out, and set CA to that path"),
        (
            "sslmode=require",
            AUTHORITY,
            "says sslmode=require, which checks no certificate, and CA names certificates: take one of them out",
        ),
        ("sslmode=verify-full", "", "says sslmode=verify-full, and nothing says which authorities to trust: set CA to the path"),
    ],
)
def test_a_url_that_says_something_else_than_the_certificates_is_refused(query: str, ca: str, said: str) -> None:
    with pytest.raises(FatalError, match=f"URL {said}"):
        parse_url(f"postgresql://reader:p@db.example/totesys?{query}", "URL", ca, "CA")


@pytest.mark.parametrize(("query", "kept"), [("", True), ("?sslmode=require", False)])
def test_certificates_of_the_secret_stay_until_the_url_says_otherwise(query: str, kept: bool) -> None:
    current = parse_url("postgresql://reader:p@db.example/totesys", "URL", AUTHORITY)
    given = given_credentials(current, SOURCE, {"TOTESYS_SOURCE_URL": f"postgresql://owner:p@db.example/totesys{query}"})
    assert (given.sslmode, bool(given.ca)) == (("verify-full", True) if kept else ("require", False))


@pytest.mark.parametrize(
    ("url", "sslmode"),
    [
        ("postgresql://reader:p%40ss@db.example/totesys", "require"),
        ("postgresql://reader:p%40ss@localhost:5432/totesys", "disable"),
        ("postgresql://reader:p%40ss@db.example:5432/totesys?sslmode=prefer", "prefer"),
    ],
)
def test_tls_is_required_unless_the_server_is_here_or_the_url_says_otherwise(url: str, sslmode: str) -> None:
    credentials = parse_url(url, "TOTESYS_SOURCE_URL")
    assert (credentials.port, credentials.password, credentials.sslmode) == (5432, "p@ss", sslmode)


def test_what_is_no_url_of_a_database_is_refused_without_showing_it() -> None:
    with pytest.raises(FatalError, match="TOTESYS_SOURCE_URL is not a URL of the form postgresql://") as caught:
        parse_url("mysql://reader:secret-word@db.example/totesys", "TOTESYS_SOURCE_URL")
    assert "secret-word" not in str(caught.value)


def test_the_two_databases_of_a_project_have_roles_and_secrets_of_their_own() -> None:
    names = [(database.name, database.secret, database.role) for database in pipeline_databases("a-b")]
    assert names == [("source", "a-b/source", "a_b_ingest"), ("warehouse", "a-b/warehouse", "a_b_load")]
    assert all(isinstance(database, DatabaseRole) for database in pipeline_databases("a-b"))


@pytest.fixture
def kept(secrets: Any) -> dict[str, Any]:
    """What the source's secret holds."""
    value = {"host": "db.example", "port": 5432, "dbname": "totesys", "username": "reader", "password": "p", "sslmode": "require"}
    secrets.put_secret_value(SecretId=SOURCE.secret, SecretString=json.dumps(value))
    return value


def test_a_url_without_a_password_keeps_the_credentials_of_the_same_database(secrets: Any, kept: dict[str, Any]) -> None:
    credentials, outcome = set_credentials(secrets, SOURCE, {"TOTESYS_SOURCE_URL": "postgresql://owner@db.example/totesys"})
    assert (credentials.username, outcome) == (kept["username"], "unchanged")


def test_a_url_without_a_password_of_another_database_needs_one(secrets: Any, kept: dict[str, Any]) -> None:
    with pytest.raises(FatalError, match="nothing says the password of owner in the source: set TOTESYS_SOURCE_URL with it"):
        set_credentials(secrets, SOURCE, {"TOTESYS_SOURCE_URL": "postgresql://owner@other.example/totesys"})


def test_a_person_at_a_terminal_is_asked_for_the_password(secrets: Any, source: conftest.Database, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("getpass.getpass", lambda prompt: asked.append(prompt) or source.credentials.password)
    url = source.url.replace(f":{source.credentials.password}@", "@")
    credentials, outcome = set_credentials(secrets, SOURCE, {"TOTESYS_SOURCE_URL": url})
    assert (credentials.username, outcome) == ("credentials_test_ingest", "created")
    assert asked == [f"Password of {source.credentials.username} in the source, {source.credentials.place}, not shown: "]
