"""The pipeline's roles in the two databases, and their rights.

The role that deploys need not be a superuser, which managed servers do not offer. A role with CREATEROLE is enough if it owns the database.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg2 import extensions, sql
from totesys.contracts import load_contracts
from totesys.errors import FatalError
from totesys.runtime.secrets import Credentials
from totesys.warehouse.models import ETL_SCHEMA, PUBLIC_SCHEMA, STAGING, etl_tables


def set_password(cursor: Any, own: Credentials) -> None:
    """Create the role, or give the existing role this password. FatalError when the existing role belongs to another owner."""
    exists = _exists(cursor, "pg_roles", "rolname", own.username)
    if exists and not may_administer(cursor, own.username):
        raise refusal(cursor, own.username)
    verifier = extensions.encrypt_password(own.password, own.username, cursor.connection, "scram-sha-256")
    # No NOSUPERUSER and the like: a new role has none of these attributes, and only a superuser can remove one from an existing role.
    verb = sql.SQL("ALTER" if exists else "CREATE")
    cursor.execute(sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(verb, sql.Identifier(own.username), sql.Literal(verifier)))


def may_administer(cursor: Any, role: str) -> bool:
    """Whether we may change the role and its members. Since PostgreSQL 16, only its creator and roles with ADMIN OPTION may."""
    if cursor.connection.server_version < 160000:
        return True
    cursor.execute("SELECT pg_has_role(current_user, %s, 'MEMBER WITH ADMIN OPTION')", [role])
    return bool(cursor.fetchone()[0])


def refusal(cursor: Any, role: str) -> FatalError:
    """Return the error for a role that another role has created. It names who may grant us that role."""
    cursor.execute(
        "SELECT string_agg(DISTINCT member::regrole::text, ' or ') FROM pg_auth_members"
        " WHERE admin_option AND roleid = (SELECT oid FROM pg_roles WHERE rolname = %s)",
        [role],
    )
    makers, server = cursor.fetchone()[0], cursor.connection.info
    return FatalError(
        f"role {role} exists on {server.host}:{server.port}, and user {server.user} may not change it, because another role made it",
        f"run as {f'{makers} or ' if makers else ''}a superuser: GRANT {role} TO {server.user} WITH ADMIN OPTION. Then deploy again",
    )


def grant_reading(cursor: Any, role: sql.Identifier) -> None:
    """Grant SELECT on the contracts' tables, and nothing else."""
    grant_database(cursor, role, sql.SQL("CONNECT"))
    cursor.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(role))
    tables = present_tables(cursor, load_contracts().source)
    if not tables:
        raise FatalError("the source has none of the contracts' tables: TOTESYS_SOURCE_URL seems to name another database")
    cursor.execute(sql.SQL("GRANT SELECT ON {} TO {}").format(sql.SQL(", ").join(map(qualified, tables)), role))
    refuse_lacking_rights(cursor, role, _LACKS_FOR_READING, {"tables": tables}, "TOTESYS_SOURCE_URL")


def grant_loading(cursor: Any, role: sql.Identifier) -> None:
    """Give the role what the load needs: CREATE for what is missing, and ownership of what exists.

    A load also adds columns, replaces views and drops staging tables, which only an owner may. So it becomes the owner of objects that
    others made, or that a dump without owners moved. The previous owner keeps every other right.
    """
    is_ours = may_administer(cursor, role.string)
    if is_ours:
        join(cursor, role)  # first: the schema etl is the load's, and only its owner and members may grant rights on it
    grant_database(cursor, role, sql.SQL("CONNECT, CREATE"))
    for schema in (PUBLIC_SCHEMA, ETL_SCHEMA):
        if _exists(cursor, "pg_namespace", "nspname", schema):
            cursor.execute(sql.SQL("GRANT USAGE, CREATE ON SCHEMA {} TO {}").format(sql.Identifier(schema), role))
    objects = loads_objects(cursor, role)
    if not is_ours and any(may_give for *_, may_give in objects):
        raise refusal(cursor, role.string)
    for kind, name, owner, may_give in objects:
        if not may_give:
            rights = sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE, REFERENCES ON {} TO {}")
            cursor.execute(rights.format(name, role))
            continue
        cursor.execute(sql.SQL("ALTER {} {} OWNER TO {}").format(sql.SQL(kind), name, role))
        cursor.execute(sql.SQL("GRANT ALL ON {} TO {}").format(name, sql.Identifier(owner)))
    for schema, sequence in others_sequences(cursor, role):
        cursor.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(sql.Identifier(schema), role))
        # UPDATE lets the load raise a sequence that is below an id in use.
        cursor.execute(sql.SQL("GRANT USAGE, SELECT, UPDATE ON SEQUENCE {} TO {}").format(sql.Identifier(schema, sequence), role))
    contracts = load_contracts().warehouse
    values = {"own": ETL_SCHEMA, "stars": list(contracts), "tables": [table.name for table in etl_tables(contracts)]}
    refuse_lacking_rights(cursor, role, _LACKS_FOR_LOADING, values, "TOTESYS_WAREHOUSE_URL")


_OWNER_OF_SCHEMA = """pg_get_userbyid(CASE WHEN nspowner = to_regrole('pg_database_owner')
    THEN (SELECT datdba FROM pg_database WHERE datname = current_database()) ELSE nspowner END)"""

_LACKS_FOR_READING = f"""
SELECT format('database %%s of %%s', datname, pg_get_userbyid(datdba)) FROM pg_database
WHERE datname = current_database() AND NOT has_database_privilege(%(role)s, oid, 'CONNECT')
UNION ALL
SELECT format('schema %%s of %%s', nspname, {_OWNER_OF_SCHEMA}) FROM pg_namespace
WHERE nspname = %(public)s AND NOT has_schema_privilege(%(role)s, oid, 'USAGE')
UNION ALL
SELECT format('table %%s.%%s of %%s', schemaname, tablename, tableowner) FROM pg_tables
WHERE schemaname = %(public)s AND tablename = ANY(%(tables)s)
    AND NOT has_table_privilege(%(role)s, format('%%I.%%I', schemaname, tablename), 'SELECT')
ORDER BY 1
"""  # nosec B608  # what is put in is a constant

_LACKS_FOR_LOADING = f"""
SELECT format('database %%s of %%s', datname, pg_get_userbyid(datdba)) FROM pg_database
WHERE datname = current_database() AND NOT (
    has_database_privilege(%(role)s, oid, 'CONNECT')
    AND (to_regnamespace(%(own)s) IS NOT NULL OR has_database_privilege(%(role)s, oid, 'CREATE')))
UNION ALL
SELECT format('schema %%s of %%s', nspname, {_OWNER_OF_SCHEMA}) FROM pg_namespace
WHERE nspname IN (%(public)s, %(own)s)
    AND NOT (has_schema_privilege(%(role)s, oid, 'USAGE') AND has_schema_privilege(%(role)s, oid, 'CREATE'))
UNION ALL
SELECT format('table %%s.%%s of %%s', schemaname, tablename, tableowner) FROM pg_tables
WHERE (schemaname = %(public)s AND tablename = ANY(%(stars)s) OR schemaname = %(own)s AND tablename = ANY(%(tables)s))
    AND NOT (SELECT bool_and(has_table_privilege(%(role)s, format('%%I.%%I', schemaname, tablename), wanted))
             FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS wanted)
ORDER BY 1
"""  # nosec B608  # what is put in is a constant


def refuse_lacking_rights(cursor: Any, role: sql.Identifier, lacks: str, values: Mapping[str, Any], variable: str) -> None:
    """Raise FatalError when a GRANT had no effect: PostgreSQL only warns when we have a right and may not pass it on."""
    cursor.execute(lacks, {"public": PUBLIC_SCHEMA, "role": role.string, **values})
    if lacking := [name for (name,) in cursor.fetchall()]:
        user = cursor.connection.info.user
        raise FatalError(
            f"{role.string} did not get its rights on {', '.join(lacking)}, because user {user} does not own them",
            f"let {variable} name that owner, or make {user} a member of that owner",
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
    """Make the role that deploys a member of the load's role. Only a member may give objects to a role.

    People also read the warehouse as the role that deploys, and the load owns its tables. A superuser need not be a member.
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
    own = [table.name for table in etl_tables(contracts.warehouse)]
    cursor.execute(
        """
        SELECT CASE c.relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END, n.nspname, c.relname, pg_get_userbyid(c.relowner),
            pg_has_role(current_user, c.relowner, 'USAGE')
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'v') AND pg_get_userbyid(c.relowner) <> %s
            AND (n.nspname = %s AND c.relname = ANY(%s) OR n.nspname = %s AND (c.relname = ANY(%s) OR c.relname ~ %s))
        ORDER BY n.nspname, c.relname
        """,
        [role.string, PUBLIC_SCHEMA, public, ETL_SCHEMA, own, f"^{STAGING.pattern}$"],
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
        [PUBLIC_SCHEMA, list(load_contracts().warehouse), role.string] * 2,
    )
    return list(cursor.fetchall())


def _exists(cursor: Any, catalog: str, column: str, name: str) -> bool:
    cursor.execute(sql.SQL("SELECT FROM {} WHERE {} = %s").format(sql.Identifier(catalog), sql.Identifier(column)), [name])
    return cursor.fetchone() is not None


def grant_database(cursor: Any, role: sql.Identifier, rights: sql.SQL) -> None:
    database = sql.Identifier(cursor.connection.info.dbname)
    cursor.execute(sql.SQL("GRANT {} ON DATABASE {} TO {}").format(rights, database, role))


def present_tables(cursor: Any, contracts: Mapping[str, Any]) -> list[str]:
    """Return the contracts' tables that the database has."""
    cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename = ANY(%s)", [list(contracts)])
    return sorted(name for (name,) in cursor.fetchall())


def qualified(table: str) -> sql.Identifier:
    return sql.Identifier("public", table)
