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
from totesys.load.models import OWN_SCHEMA, STAGING, STAR_SCHEMA, own_tables
from totesys.postgres_errors import Server
from totesys.secrets import Credentials

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
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


def set_password(cursor: Any, own: Credentials) -> None:
    """Creates the role, or gives the one that is there this password."""
    verifier = extensions.encrypt_password(own.password, own.username, cursor.connection, "scram-sha-256")
    # No NOSUPERUSER and the like: a new role has none of these attributes, and to take one from an existing role needs a superuser.
    verb = sql.SQL("ALTER" if _exists(cursor, "pg_roles", "rolname", own.username) else "CREATE")
    cursor.execute(sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(verb, sql.Identifier(own.username), sql.Literal(verifier)))


def grant_reading(cursor: Any, role: sql.Identifier) -> None:
    """SELECT on the contracts' tables, and no more."""
    grant_database(cursor, role, sql.SQL("CONNECT"))
    cursor.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(role))
    tables = present_tables(cursor, load_contracts().source)
    if not tables:
        raise FatalError("the source has none of the contracts' tables: TOTESYS_SOURCE_URL seems to name another database")
    cursor.execute(sql.SQL("GRANT SELECT ON {} TO {}").format(sql.SQL(", ").join(map(qualified, tables)), role))


def grant_loading(cursor: Any, role: sql.Identifier) -> None:
    """Give the role what the load needs: CREATE for what is missing, and ownership of what exists.

    A load also adds columns, replaces views and drops staging tables, which only an owner may. So it becomes the owner of objects that
    others made, or that a dump without owners moved. The previous owner keeps every other right.
    """
    grant_database(cursor, role, sql.SQL("CONNECT, CREATE"))
    for schema in (STAR_SCHEMA, OWN_SCHEMA):
        if _exists(cursor, "pg_namespace", "nspname", schema):
            cursor.execute(sql.SQL("GRANT USAGE, CREATE ON SCHEMA {} TO {}").format(sql.Identifier(schema), role))
    objects = loads_objects(cursor, role)
    if any(may_give for *_, may_give in objects):
        join(cursor, role)
    for kind, name, owner, may_give in objects:
        if not may_give:
            rights = sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE, REFERENCES ON {} TO {}")
            cursor.execute(rights.format(name, role))
            continue
        cursor.execute(sql.SQL("ALTER {} {} OWNER TO {}").format(sql.SQL(kind), name, role))
        cursor.execute(sql.SQL("GRANT ALL ON {} TO {}").format(name, sql.Identifier(owner)))
    for schema, sequence in others_sequences(cursor, role):
        cursor.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(sql.Identifier(schema), role))
        # UPDATE lets the load move a sequence that is below an id in use.
        cursor.execute(sql.SQL("GRANT USAGE, SELECT, UPDATE ON SEQUENCE {} TO {}").format(sql.Identifier(schema, sequence), role))
    refuse_lacking_rights(cursor, role)


def refuse_lacking_rights(cursor: Any, role: sql.Identifier) -> None:
    """Raise FatalError when a GRANT had no effect: PostgreSQL only warns when we have a right and may not pass it on."""
    cursor.execute(
        """
        SELECT format('schema %%s', nspname) FROM pg_namespace
        WHERE nspname IN (%(public)s, %(own)s)
            AND NOT (has_schema_privilege(%(role)s, oid, 'USAGE') AND has_schema_privilege(%(role)s, oid, 'CREATE'))
        UNION ALL
        SELECT format('table %%s.%%s', schemaname, tablename) FROM pg_tables
        WHERE (schemaname = %(public)s AND tablename = ANY(%(stars)s) OR schemaname = %(own)s AND tablename = ANY(%(tables)s))
            AND NOT (SELECT bool_and(has_table_privilege(%(role)s, format('%%I.%%I', schemaname, tablename), wanted))
                     FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS wanted)
        ORDER BY 1
        """,
        {
            "public": STAR_SCHEMA, "own": OWN_SCHEMA, "role": role.string, "stars": list(load_contracts().warehouse),
            "tables": [table.name for table in own_tables(load_contracts().warehouse)],
        },
    )  # fmt: skip
    if lacking := [name for (name,) in cursor.fetchall()]:
        raise FatalError(
            f"{role.string} did not get its rights on {', '.join(lacking)}, because they belong to another role: let TOTESYS_WAREHOUSE_URL"
            " name that owner or a superuser, or make the role that it names a member of that owner"
        )


def refuse_other_encodings(cursor: Any) -> None:
    """Raise FatalError when the database's encoding cannot hold every character that the lake may have."""
    cursor.execute("SHOW server_encoding")
    encoding = cursor.fetchone()[0]
    if encoding != "UTF8":
        raise FatalError(
            f"the warehouse {cursor.connection.info.dbname} has the encoding {encoding}, which lacks characters that the source may have:"
            " recreate it with ENCODING 'UTF8', or let TOTESYS_WAREHOUSE_URL name another database"
        )


def join(cursor: Any, role: sql.Identifier) -> None:
    """Make the role that deploys a member of the load's role: only a member may give objects to a role, and it keeps access to them.

    A superuser need not be a member.
    """
    cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
    if cursor.fetchone()[0]:
        return
    # Since PostgreSQL 16, the creator of a role may grant it to others, but cannot use it without these options.
    options = sql.SQL(" WITH INHERIT TRUE, SET TRUE" if cursor.connection.server_version >= 160000 else "")
    cursor.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(role) + options)


def loads_objects(cursor: Any, role: sql.Identifier) -> list[tuple[str, sql.Identifier, str, bool]]:
    """Return what the load works on and does not own: TABLE or VIEW, name, owner, and whether we may change the owner."""
    contracts = load_contracts()
    public = [*contracts.warehouse, *(fact.current_view for fact in contracts.facts.values())]
    own = [table.name for table in own_tables(contracts.warehouse)]
    cursor.execute(
        """
        SELECT CASE c.relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END, n.nspname, c.relname, pg_get_userbyid(c.relowner),
            pg_has_role(current_user, c.relowner, 'USAGE')
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'v') AND pg_get_userbyid(c.relowner) <> %s
            AND (n.nspname = %s AND c.relname = ANY(%s) OR n.nspname = %s AND (c.relname = ANY(%s) OR c.relname ~ %s))
        ORDER BY n.nspname, c.relname
        """,
        [role.string, STAR_SCHEMA, public, OWN_SCHEMA, own, f"^{STAGING.pattern}$"],
    )
    return [(kind, sql.Identifier(schema, name), owner, may_give) for kind, schema, name, owner, may_give in cursor.fetchall()]


def others_sequences(cursor: Any, role: sql.Identifier) -> list[tuple[str, str]]:
    """Return the sequences (schema, name) that give keys to warehouse tables and that the load does not own."""
    cursor.execute(
        """
        SELECT DISTINCT n.nspname, s.relname
        FROM pg_class AS c
        JOIN pg_attrdef AS def ON def.adrelid = c.oid
        JOIN pg_depend AS d ON d.classid = 'pg_attrdef'::regclass AND d.objid = def.oid AND d.refclassid = 'pg_class'::regclass
        JOIN pg_class AS s ON s.oid = d.refobjid AND s.relkind = 'S'
        JOIN pg_namespace AS n ON n.oid = s.relnamespace
        WHERE c.relnamespace = to_regnamespace(%s) AND c.relname = ANY(%s) AND pg_get_userbyid(s.relowner) <> %s
        UNION
        SELECT n.nspname, s.relname
        FROM pg_class AS c
        JOIN pg_depend AS d ON d.deptype = 'i' AND d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid
        JOIN pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
        JOIN pg_namespace AS n ON n.oid = s.relnamespace
        WHERE c.relnamespace = to_regnamespace(%s) AND c.relname = ANY(%s) AND pg_get_userbyid(s.relowner) <> %s
        """,
        [STAR_SCHEMA, list(load_contracts().warehouse), role.string] * 2,
    )
    return list(cursor.fetchall())


def _exists(cursor: Any, catalog: str, column: str, name: str) -> bool:
    cursor.execute(sql.SQL("SELECT FROM {} WHERE {} = %s").format(sql.Identifier(catalog), sql.Identifier(column)), [name])
    return cursor.fetchone() is not None


def grant_database(cursor: Any, role: sql.Identifier, rights: sql.SQL) -> None:
    database = sql.Identifier(cursor.connection.info.dbname)
    cursor.execute(sql.SQL("GRANT {} ON DATABASE {} TO {}").format(rights, database, role))


def present_tables(cursor: Any, contracts: Mapping[str, Any]) -> list[str]:
    """The contracts' tables that the database has."""
    cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename = ANY(%s)", [list(contracts)])
    return sorted(name for (name,) in cursor.fetchall())


def qualified(table: str) -> sql.Identifier:
    return sql.Identifier("public", table)
