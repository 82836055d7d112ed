"""The pipeline's own roles in the two databases, and the secrets that hold their passwords.

A password is made here, goes into Secrets Manager, and is neither shown nor passed on a command line. PostgreSQL gets its verifier only.
"""

from __future__ import annotations

import getpass
import json
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import psycopg2
from psycopg2 import sql
from totesys.errors import FatalError, RetriableError
from totesys.postgres_errors import Server
from totesys.secrets import Credentials

from operations.deploy.rights import grant_loading, grant_reading, refuse_other_encodings, set_password
from operations.deploy.urls import parse_url

Grants = Callable[[Any, sql.Identifier], None]
Check = Callable[[Any], None]


@dataclass(frozen=True)
class Database:
    """The source or the warehouse: its name in messages, the variable with its URL, its secret, and the rights of the pipeline's role.

    `check` raises a FatalError when the database cannot be used at all.
    """

    name: str
    variable: str
    secret: str
    role: str
    grant: Grants
    check: Check


def pipeline_databases(project: str) -> tuple[Database, Database]:
    """Source and warehouse of a project."""
    prefix = project.replace("-", "_")
    return (
        Database("source", "TOTESYS_SOURCE_URL", f"{project}/source", f"{prefix}_ingest", grant_reading, lambda cursor: None),
        Database("warehouse", "TOTESYS_WAREHOUSE_URL", f"{project}/warehouse", f"{prefix}_load", grant_loading, refuse_other_encodings),
    )


def set_credentials(client: Any, database: Database, environment: Mapping[str, str]) -> tuple[Credentials, str]:
    """Makes the secret hold credentials that work; answers them, and created, updated or unchanged.

    With a URL that has a password, the pipeline gets a role of its own if the URL's role may make one, else the URL's role itself. With
    none, or one without a password, a value that is there stays, unless it is for another database; else a person at a terminal is asked
    for what lacks. FatalError when nobody can say.
    """
    current = read_secret(client, database.secret)
    if current and planned_credentials(current, database, environment) is current:
        return current, "unchanged"
    url = environment.get(database.variable) or _ask(f"URL of the {database.name} (postgresql://user:password@host:port/dbname)")
    if not url:
        raise FatalError(f"secret {database.secret} has no value: set {database.variable} to postgresql://user:password@host:port/dbname")
    admin = parse_url(url, database.variable)
    if not admin.password:
        admin = replace(admin, password=_ask(f"Password of {admin.username} in the {database.name}, {admin.place}"))
    if not admin.password:
        raise FatalError(f"nothing says the password of {admin.username} in the {database.name}: set {database.variable} with it")
    wanted = pipeline_credentials(database, admin, current)
    if wanted == current:
        return wanted, "unchanged"
    client.put_secret_value(SecretId=database.secret, SecretString=json.dumps(asdict(wanted)))
    return wanted, "updated" if current else "created"


def planned_credentials(current: Credentials | None, database: Database, environment: Mapping[str, str]) -> Credentials | None:
    """What a deploy begins with, without looking at the database: what the secret holds, or what the URL says; None when neither says."""
    url = environment.get(database.variable)
    given = parse_url(url, database.variable) if url else None
    if given is None or (current and not given.password and current.place == given.place):
        return current
    return given


def _ask(what: str) -> str:
    """A person's answer at a terminal, which is not shown; empty where there is no terminal."""
    return getpass.getpass(f"{what}, not shown: ") if sys.stdin.isatty() else ""


def read_secret(client: Any, secret: str) -> Credentials | None:
    """The credentials that a secret holds; None while it has no value, or one that is not of our form."""
    try:
        text = client.get_secret_value(SecretId=secret).get("SecretString")
        return Credentials(**json.loads(text)) if text else None
    except client.exceptions.ResourceNotFoundException:  # so AWS answers for a secret without a value
        return None
    except (ValueError, TypeError):
        return None


def pipeline_credentials(database: Database, admin: Credentials, current: Credentials | None) -> Credentials:
    """The pipeline's role with its rights as they should be; its password is kept while it works."""
    connection = connect(database, admin)
    try:
        with connection, connection.cursor() as cursor:
            database.check(cursor)
            cursor.execute("SELECT rolcreaterole OR rolsuper FROM pg_roles WHERE rolname = current_user")
            if not cursor.fetchone()[0]:
                return admin
            own = Credentials(admin.host, admin.port, admin.dbname, database.role, secrets.token_urlsafe(24), admin.sslmode, admin.ca)
            if current and {**asdict(current), "password": ""} == {**asdict(own), "password": ""} and works(current):
                own = current
            else:
                set_password(cursor, own)
            database.grant(cursor, sql.Identifier(own.username))
    except psycopg2.Error as error:
        may_not = f"let {database.variable} name a role that may, or one without CREATEROLE, which is then used as it is"
        raise server(database, admin, {"42501": may_not}).error(error, f"preparing role {database.role}") from error
    finally:
        connection.close()
    return own


def connect(database: Database, credentials: Credentials) -> Any:
    """Return a connection. A PipelineError that says what to do when the server cannot be reached or refuses."""
    try:
        return psycopg2.connect(**credentials.libpq())
    except psycopg2.Error as error:
        ways = (
            f"correct {database.variable}; when only the jobs can reach it, unset {database.variable} and put its credentials "
            f"into secret {database.secret} yourself, as JSON with host, port, dbname, username, password and sslmode"
        )
        hints = {"08001": f"start it or {ways}", "28": ways, "3D": ways}
        raise server(database, credentials, hints).error(error) from error


def works(credentials: Credentials) -> bool:
    """Whether the server accepts the credentials. RetriableError when it cannot be reached: they may be right all the same."""
    try:
        psycopg2.connect(**credentials.libpq()).close()
    except psycopg2.Error as error:
        failure = Server(credentials.place, credentials.username).error(error)
        if isinstance(failure, RetriableError):
            raise failure from error
        return False
    return True


def server(database: Database, credentials: Credentials, hints: Mapping[str, str]) -> Server:
    """The database as errors name it."""
    return Server(f"the {database.name}, {credentials.place},", credentials.username, hints)
