"""The two databases of a smoke test: check them, change one row of the source and change it back, drop what the pipeline created."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg2
from psycopg2 import sql
from totesys.contracts import load_contracts
from totesys.errors import FatalError
from totesys.runtime.secrets import Credentials
from totesys.warehouse.models import ETL_SCHEMA, PUBLIC_SCHEMA

from operations.deployment.databases import DatabaseRole, connect, given_credentials, pipeline_databases, server
from operations.deployment.rights import join, present_tables


@dataclass(frozen=True)
class ChangedDesign:
    """A design whose name was changed at the source."""

    design_id: int
    before: str
    after: str


class Databases:
    """Source and warehouse of one smoke test, as their owners."""

    def __init__(self, project: str, environment: Mapping[str, str]) -> None:
        self._databases = {database.name: database for database in pipeline_databases(project)}
        self._owners = {name: _owner(database, environment) for name, database in self._databases.items()}

    def check(self) -> None:
        """Raise FatalError unless the source has a table design, and the warehouse nothing of a pipeline."""
        with self._cursor("source") as cursor:
            if "design" not in present_tables(cursor, load_contracts().source):
                raise FatalError("the source has no table design: let TOTESYS_SOURCE_URL name a database with the source's tables")
        with self._cursor("warehouse") as cursor:
            cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname = %s", [ETL_SCHEMA])
            present = [f"schema {name}" for (name,) in cursor.fetchall()] + present_tables(cursor, load_contracts().warehouse)
        if present:
            raise FatalError(
                f"the warehouse already has {', '.join(present)}, and the smoke test drops what it finds there: let TOTESYS_WAREHOUSE_URL"
                " name an empty database"
            )

    def change_a_design(self, suffix: str) -> ChangedDesign:
        """Give the first design of the source another name. FatalError when there is no design."""
        with self._cursor("source") as cursor:
            cursor.execute("SELECT design_id, design_name FROM design ORDER BY design_id LIMIT 1")
            found = cursor.fetchone()
            if found is None:
                raise FatalError("the source has no design that the smoke test could change: insert one")
            changed = ChangedDesign(found[0], found[1], f"{found[1]}{suffix}")
            _rename(cursor, changed.design_id, changed.before, changed.after)
        return changed

    def change_back(self, changed: ChangedDesign) -> None:
        """Change the design's name back, unless somebody else has renamed it."""
        with self._cursor("source") as cursor:
            _rename(cursor, changed.design_id, changed.after, changed.before)

    def name_in_the_warehouse(self, design_id: int) -> str | None:
        """Return a design's name in dim_design; None when the design is not there."""
        with self._cursor("warehouse") as cursor:
            cursor.execute("SELECT design_name FROM dim_design WHERE design_id = %s", [design_id])
            found = cursor.fetchone()
        return found[0] if found else None

    def remove(self, name: str) -> None:
        """Drop the pipeline's role in "source" or "warehouse", and what the load has created."""
        database = self._databases[name]
        role = sql.Identifier(database.role)
        with self._cursor(name) as cursor:
            cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", [database.role])
            has_role = cursor.fetchone() is not None
            if has_role:
                join(cursor, role)
            if name == "warehouse":
                _drop_stars(cursor)
            if has_role:
                cursor.execute(sql.SQL("DROP OWNED BY {}").format(role))
                cursor.execute(sql.SQL("DROP ROLE {}").format(role))

    @contextmanager
    def _cursor(self, name: str) -> Iterator[Any]:
        """Yield a cursor of the owner in a transaction. Errors are PipelineErrors that name the database."""
        database, owner = self._databases[name], self._owners[name]
        try:
            with closing(connect(database, owner)) as connection, connection, connection.cursor() as cursor:
                yield cursor
        except psycopg2.Error as error:
            raise server(database, owner, {}).error(error, "smoke-testing") from error


def _owner(database: DatabaseRole, environment: Mapping[str, str]) -> Credentials:
    owner = given_credentials(None, database, environment) if environment.get(database.variable) else None
    if owner is None or not owner.password:
        raise FatalError(f"{database.variable} is not set, or has no password: set it to postgresql://user:password@host:port/dbname")
    return owner


def _rename(cursor: Any, design_id: int, before: str, after: str) -> None:
    cursor.execute(
        "UPDATE design SET design_name = %s, last_updated = now() AT TIME ZONE 'UTC' WHERE design_id = %s AND design_name = %s",
        [after, design_id, before],
    )


def _drop_stars(cursor: Any) -> None:
    contracts = load_contracts()
    for fact in contracts.facts.values():
        cursor.execute(sql.SQL("DROP VIEW IF EXISTS {}").format(sql.Identifier(PUBLIC_SCHEMA, fact.current_view)))
    tables = sql.SQL(", ").join(sql.Identifier(PUBLIC_SCHEMA, table) for table in contracts.warehouse)
    cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(tables))
    cursor.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(ETL_SCHEMA)))
