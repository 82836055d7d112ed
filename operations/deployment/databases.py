"""The pipeline's own roles in the two databases, and the secrets that hold their passwords.

Passwords are created here and stored in Secrets Manager. They are neither shown nor passed on a command line. PostgreSQL gets only the
verifier.
"""

from __future__ import annotations

import getpass
import json
import secrets
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg2
from psycopg2 import sql
from totesys.errors import FatalError, RetriableError
from totesys.errors.postgres import Server
from totesys.runtime.secrets import Credentials

from operations.deployment.rights import grant_loading, grant_reading, refuse_other_encodings, set_password
from operations.deployment.urls import parse_url, read_certificates

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

Grants = Callable[[Any, sql.Identifier], None]
Check = Callable[[Any], None]


@dataclass(frozen=True)
class DatabaseRole:
    """The source or the warehouse: its name in messages, the variables of its URL and its certificates, its secret, and the rights of the
    pipeline's role.

    `check` raises a FatalError when the database cannot be used at all.
    """

    name: str
    variable: str
    ca_variable: str
    secret: str
    role: str
    grant: Grants
    check: Check


def pipeline_databases(project: str) -> tuple[DatabaseRole, DatabaseRole]:
    """Return source and warehouse of a project."""
    prefix = project.replace("-", "_")
    return (
        DatabaseRole(
            "source", "TOTESYS_SOURCE_URL", "TOTESYS_SOURCE_CA", f"{project}/source", f"{prefix}_ingest", grant_reading, lambda cursor: None
        ),
        DatabaseRole(
            "warehouse",
            "TOTESYS_WAREHOUSE_URL",
            "TOTESYS_WAREHOUSE_CA",
            f"{project}/warehouse",
            f"{prefix}_load",
            grant_loading,
            refuse_other_encodings,
        ),
    )


def set_credentials(client: SecretsManagerClient, database: DatabaseRole, environment: Mapping[str, str]) -> tuple[Credentials, str]:
    """Store working credentials in the secret. Return them, and created, updated or unchanged.

    A URL with a password: the pipeline gets a role of its own if the URL's role may create roles. Otherwise it uses the URL's role.
    No URL, or a URL without a password: the secret's value stays if it is for the same database. Otherwise a person is asked at the
    terminal. FatalError when there is no terminal. New certificates change the value and need no password.
    """
    current = read_secret(client, database.secret)
    planned = planned_credentials(current, database, environment)
    if current and planned is current:
        return current, "unchanged"
    if current and planned and planned != current and planned == replace(current, sslmode=planned.sslmode, ca=planned.ca):
        refuse_other_certificates(database, planned)
        return planned, store(client, database, planned, current)
    url = environment.get(database.variable) or _ask(f"URL of the {database.name} (postgresql://user:password@host:port/dbname)")
    if not url:
        raise FatalError(f"secret {database.secret} has no value: set {database.variable} to postgresql://user:password@host:port/dbname")
    admin = given_credentials(current, database, {**environment, database.variable: url})
    if not admin.password:
        admin = replace(admin, password=_ask(f"Password of {admin.username} in the {database.name}, {admin.place}"))
    if not admin.password:
        raise FatalError(f"nothing says the password of {admin.username} in the {database.name}: set {database.variable} with it")
    wanted = pipeline_credentials(database, admin, current)
    if wanted == current:
        return wanted, "unchanged"
    return wanted, store(client, database, wanted, current)


def store(client: SecretsManagerClient, database: DatabaseRole, wanted: Credentials, current: Credentials | None) -> str:
    """Put the credentials into the secret. Return created or updated. FatalError, which says how to go on, when the secret was deleted."""
    try:
        client.put_secret_value(SecretId=database.secret, SecretString=json.dumps(asdict(wanted)))
    except client.exceptions.ResourceNotFoundException as error:
        project = database.secret.partition("/")[0]
        raise FatalError(
            f"secret {database.secret} was deleted, and its stack cannot create it again while other stacks use it",
            f"run scripts/destroy.sh --keep-data, then aws cloudformation delete-stack --stack-name {project}-secrets, then deploy again."
            " The data in the lake and the warehouse stay",
        ) from error
    return "updated" if current else "created"


def planned_credentials(current: Credentials | None, database: DatabaseRole, environment: Mapping[str, str]) -> Credentials | None:
    """Return the credentials that a deploy begins with: those of the secret or of the URL; None without both. The database is not asked."""
    given = given_credentials(current, database, environment) if environment.get(database.variable) else None
    if given is None or (current and not given.password and current.place == given.place):
        ca = given_certificates(database, environment)
        wanted = replace(current, sslmode=given.sslmode if given else "verify-full", ca=ca) if current and ca else current
        return current if wanted == current else wanted
    return given


def given_credentials(current: Credentials | None, database: DatabaseRole, environment: Mapping[str, str]) -> Credentials:
    """Return the URL's credentials. The secret's certificates for the same database stay until others are given, or the URL has an
    sslmode."""
    url = environment[database.variable]
    given = parse_url(url, database.variable, given_certificates(database, environment), database.ca_variable)
    if current and current.ca and not given.ca and current.place == given.place and "sslmode=" not in urlsplit(url).query:
        return replace(given, sslmode=current.sslmode, ca=current.ca)
    return given


def given_certificates(database: DatabaseRole, environment: Mapping[str, str]) -> str:
    """Return the certificates of the file that the environment names; empty for none."""
    path = environment.get(database.ca_variable)
    return read_certificates(path, database.ca_variable) if path else ""


def _ask(what: str) -> str:
    """Ask a person at the terminal, without showing the answer. Return an empty text without a terminal."""
    return getpass.getpass(f"{what}, not shown: ") if sys.stdin.isatty() else ""


def read_secret(client: SecretsManagerClient, secret: str) -> Credentials | None:
    """Return the credentials of a secret; None while it has no value, or one that is not in this form. FatalError when the secret is
    scheduled for deletion."""
    try:
        text = client.get_secret_value(SecretId=secret).get("SecretString")
        return Credentials(**json.loads(text)) if text else None
    except client.exceptions.ResourceNotFoundException:  # AWS's answer for a secret without a value
        return None
    except client.exceptions.InvalidRequestException as error:
        raise FatalError(
            f"secret {secret} is scheduled for deletion",
            f"run aws secretsmanager restore-secret --secret-id {secret}, then deploy again",
        ) from error
    except (ValueError, TypeError):
        return None


def pipeline_credentials(database: DatabaseRole, admin: Credentials, current: Credentials | None) -> Credentials:
    """Give the pipeline's role its rights, and return its credentials. The password stays as long as it works."""
    connection = connect(database, admin)
    try:
        with connection, connection.cursor() as cursor:
            database.check(cursor)
            cursor.execute("SELECT rolcreaterole OR rolsuper FROM pg_roles WHERE rolname = current_user")
            if not cursor.fetchone()[0]:
                return admin
            own = Credentials(admin.host, admin.port, admin.dbname, database.role, secrets.token_urlsafe(24), admin.sslmode, admin.ca)
            kept = replace(own, password=current.password) if current else own
            if current and (current.username, current.place) == (own.username, own.place) and works(kept):
                own = kept
            else:
                set_password(cursor, own)
            database.grant(cursor, sql.Identifier(own.username))
    except psycopg2.Error as error:
        may_not = f"let {database.variable} name a role that may, or one without CREATEROLE, which is then used as it is"
        raise server(database, admin, {"42501": may_not}).error(error, f"preparing role {database.role}") from error
    finally:
        connection.close()
    return own


def connect(database: DatabaseRole, credentials: Credentials) -> Any:
    """Return a connection. A PipelineError that says what to do when the server cannot be reached or refuses."""
    try:
        return psycopg2.connect(**credentials.libpq())
    except psycopg2.Error as error:
        variables = f"{database.variable} or {database.ca_variable}" if credentials.ca else database.variable
        ways = (
            f"correct {variables}; when only the jobs can reach it, unset {database.variable} and put its credentials "
            f"into secret {database.secret} yourself, as JSON with host, port, dbname, username, password and sslmode"
        )
        hints = {"08001": f"start it or {ways}", "28": ways, "3D": ways}
        raise server(database, credentials, hints).error(error) from error


def refuse_other_certificates(database: DatabaseRole, credentials: Credentials) -> None:
    """Raise FatalError when the server refuses the credentials, or its certificate is not signed by the given authorities.

    A server that cannot be reached from here is accepted: the jobs may reach it.
    """
    with suppress(RetriableError):
        connect(database, credentials).close()


def works(credentials: Credentials) -> bool:
    """Whether the server accepts the credentials. RetriableError when it cannot be reached."""
    try:
        psycopg2.connect(**credentials.libpq()).close()
    except psycopg2.Error as error:
        failure = Server(credentials.place, credentials.username).error(error)
        if isinstance(failure, RetriableError):
            raise failure from error
        return False
    return True


def server(database: DatabaseRole, credentials: Credentials, hints: Mapping[str, str]) -> Server:
    """Return the database's name in errors."""
    return Server(f"the {database.name}, {credentials.place},", credentials.username, hints)
