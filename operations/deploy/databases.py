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
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import psycopg2
from psycopg2 import extensions, sql
from totesys.contracts import load_contracts
from totesys.errors import FatalError, RetriableError
from totesys.postgres_errors import Server
from totesys.secrets import Credentials

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
Grants = Callable[[Any, sql.Identifier], None]


@dataclass(frozen=True)
class Database:
    """One of the two: what people call it, the variable with its URL, its secret, and what the pipeline's role may do there."""

    name: str
    variable: str
    secret: str
    role: str
    grant: Grants


def pipeline_databases(project: str) -> tuple[Database, Database]:
    """Source and warehouse of a project."""
    prefix = project.replace("-", "_")
    return (
        Database("source", "TOTESYS_SOURCE_URL", f"{project}/source", f"{prefix}_ingest", grant_reading),
        Database("warehouse", "TOTESYS_WAREHOUSE_URL", f"{project}/warehouse", f"{prefix}_load", grant_loading),
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


def parse_url(url: str, variable: str) -> Credentials:
    """The credentials of a URL as psql takes it. TLS is required unless its sslmode says otherwise, or the server is on this machine;
    with sslrootcert, a file of PEM, the server's certificate must come from that authority and name the server."""
    parts = urlsplit(url)
    options = {name: values[0] for name, values in parse_qs(parts.query).items()}
    ca = _read_ca(options["sslrootcert"], variable) if "sslrootcert" in options else ""
    usual = "verify-full" if ca else "disable" if parts.hostname in _LOOPBACK else "require"
    if parts.scheme not in ("postgresql", "postgres") or not (parts.hostname and parts.username and parts.path.strip("/")):
        raise FatalError(f"{variable} is not a URL of the form postgresql://user:password@host:port/dbname")
    return Credentials(
        host=parts.hostname,
        port=parts.port or 5432,
        dbname=unquote(parts.path.strip("/")),
        username=unquote(parts.username),
        password=unquote(parts.password or ""),
        sslmode=options.get("sslmode", usual),
        ca=ca,
    )


def _read_ca(path: str, variable: str) -> str:
    try:
        ca = Path(path).read_text("ascii")
    except (OSError, ValueError) as error:
        raise FatalError(f"{variable} names the certificate {path}, which cannot be read: {error}") from error
    if ca.count("BEGIN CERTIFICATE") != 1:
        raise FatalError(f"{variable} names {path}, which must hold one certificate in PEM: that of the authority that signs the server's")
    return ca


def pipeline_credentials(database: Database, admin: Credentials, current: Credentials | None) -> Credentials:
    """The pipeline's role with its rights as they should be; its password is kept while it works."""
    connection = connect(database, admin)
    try:
        with connection, connection.cursor() as cursor:
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
    """A connection; a PipelineError with the ways on when there is none to be had."""
    try:
        return psycopg2.connect(**credentials.libpq())
    except psycopg2.Error as error:
        ways = (
            f"mend {database.variable}; when only the jobs can reach it, unset {database.variable} and put its credentials "
            f"into secret {database.secret} yourself, as JSON with host, port, dbname, username, password and sslmode"
        )
        hints = {"08001": f"start it or {ways}", "28": ways, "3D": ways}
        raise server(database, credentials, hints).error(error) from error


def works(credentials: Credentials) -> bool:
    """Whether the server takes the credentials. A RetriableError where it cannot be asked: that says nothing of them."""
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


def set_password(cursor: Any, own: Credentials) -> None:
    """Creates the role, or gives the one that is there this password."""
    cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", [own.username])
    verb = sql.SQL("ALTER" if cursor.fetchone() is not None else "CREATE")
    verifier = extensions.encrypt_password(own.password, own.username, cursor.connection, "scram-sha-256")
    statement = sql.SQL("{} ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {}")
    cursor.execute(statement.format(verb, sql.Identifier(own.username), sql.Literal(verifier)))


def grant_reading(cursor: Any, role: sql.Identifier) -> None:
    """SELECT on the contracts' tables, and no more."""
    grant_database(cursor, role, sql.SQL("CONNECT"))
    cursor.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(role))
    tables = present_tables(cursor, load_contracts().source)
    if not tables:
        raise FatalError("the source has none of the contracts' tables: TOTESYS_SOURCE_URL seems to name another database")
    cursor.execute(sql.SQL("GRANT SELECT ON {} TO {}").format(sql.SQL(", ").join(map(qualified, tables)), role))


def grant_loading(cursor: Any, role: sql.Identifier) -> None:
    """CREATE, for the tables of an empty warehouse and our schema; writing to the contracts' tables where others have made them."""
    grant_database(cursor, role, sql.SQL("CONNECT, CREATE"))
    cursor.execute(sql.SQL("GRANT USAGE, CREATE ON SCHEMA public TO {}").format(role))
    for table in present_tables(cursor, load_contracts().warehouse):
        cursor.execute("SELECT tableowner = %s FROM pg_tables WHERE schemaname = 'public' AND tablename = %s", [role.string, table])
        if cursor.fetchone()[0]:
            continue  # its own
        cursor.execute(sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE, REFERENCES ON {} TO {}").format(qualified(table), role))
        key = load_contracts().warehouse[table].key
        cursor.execute("SELECT pg_get_serial_sequence(%s, %s)::regclass::text", [f"public.{table}", key])
        sequence = cursor.fetchone()[0]
        if sequence:
            cursor.execute(sql.SQL("GRANT USAGE, SELECT ON SEQUENCE {} TO {}").format(sql.Identifier(*sequence.split(".")), role))


def grant_database(cursor: Any, role: sql.Identifier, rights: sql.SQL) -> None:
    database = sql.Identifier(cursor.connection.info.dbname)
    cursor.execute(sql.SQL("GRANT {} ON DATABASE {} TO {}").format(rights, database, role))


def present_tables(cursor: Any, contracts: Mapping[str, Any]) -> list[str]:
    """The contracts' tables that the database has."""
    cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename = ANY(%s)", [list(contracts)])
    return sorted(name for (name,) in cursor.fetchall())


def qualified(table: str) -> sql.Identifier:
    return sql.Identifier("public", table)
