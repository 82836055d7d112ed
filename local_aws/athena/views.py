"""Views of Athena. The catalog stores them as Athena does, and queries may use them.

ministack has no views: CREATE VIEW succeeds and creates nothing.
"""

import asyncio
import base64
import json
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
from ministack.services import athena, glue

from local_aws.api import LOCK, Record
from local_aws.glue import catalog

CATALOG = "awsdatacatalog"
# DuckDB's type -> the catalog's (Hive's), and Trino's own.
_TYPES = {
    "BOOLEAN": ("boolean", "boolean"),
    "TINYINT": ("tinyint", "tinyint"),
    "SMALLINT": ("smallint", "smallint"),
    "INTEGER": ("int", "integer"),
    "BIGINT": ("bigint", "bigint"),
    "HUGEINT": ("bigint", "bigint"),  # DuckDB's sum of integers; Trino's is a bigint
    "FLOAT": ("float", "real"),
    "DOUBLE": ("double", "double"),
    "DATE": ("date", "date"),
    "TIMESTAMP": ("timestamp", "timestamp(3)"),
    "BLOB": ("binary", "varbinary"),
}
_TEXT = ("string", "varchar")
# DuckDB's message for a query that cannot run -> Athena's code. All others are SYNTAX_ERROR.
_CODES = {
    "Table with name": "TABLE_NOT_FOUND",
    "Function with name": "FUNCTION_NOT_FOUND",
    "Referenced column": "COLUMN_NOT_FOUND",
    "does not have a column": "COLUMN_NOT_FOUND",
}
_PREFIX, _SUFFIX = "/* Presto View: ", " */"

Rewrite = Callable[..., Coroutine[Any, Any, tuple[str, dict[str, str], list[str]]]]
Run = Callable[..., Coroutine[Any, Any, Record]]


class Refused(Exception):
    """A statement is refused. The message is Athena's."""


@dataclass(frozen=True)
class View:
    """A view's statement. Its unqualified tables are in `database`, in which the view was created."""

    sql: str
    database: str
    columns: tuple[tuple[str, str], ...] = ()  # name and DuckDB's type

    def table_input(self, name: str) -> Record:
        """Return the table that represents the view in the catalog."""
        columns = [(column, *_types(kind)) for column, kind in self.columns]
        presto = {
            "originalSql": self.sql,
            "catalog": CATALOG,
            "schema": self.database,
            "columns": [{"name": column, "type": trino} for column, _, trino in columns],
        }
        return {
            "Name": name,
            "TableType": "VIRTUAL_VIEW",
            "StorageDescriptor": {
                "Columns": [{"Name": column, "Type": hive} for column, hive, _ in columns],
                "Location": "",
                "SerdeInfo": {},
            },
            "PartitionKeys": [],
            "Parameters": {"comment": "Presto View", "presto_view": "true"},
            "ViewOriginalText": _PREFIX + base64.b64encode(json.dumps(presto).encode()).decode() + _SUFFIX,
            "ViewExpandedText": "/* Presto View */",
        }

    @staticmethod
    def of(table: Record) -> "View":
        text = table.get("ViewOriginalText") or ""
        if not (text.startswith(_PREFIX) and text.endswith(_SUFFIX)):
            raise Refused(f"INVALID_VIEW: {table['DatabaseName']}.{table['Name']} is no view of Athena's")
        presto = json.loads(base64.b64decode(text[len(_PREFIX) : -len(_SUFFIX)]))
        return View(presto["originalSql"], presto["schema"])


@dataclass(frozen=True)
class Create:
    """CREATE [OR REPLACE] VIEW."""

    database: str | None
    name: str
    sql: str
    replace: bool


@dataclass(frozen=True)
class Drop:
    """DROP VIEW [IF EXISTS]."""

    database: str | None
    name: str
    if_exists: bool


def parse(statement: str) -> Create | Drop | None:
    """Return what the statement does to a view, or None if it is another kind of statement."""
    cursor = athena._Cursor(statement)
    if cursor.keywords("drop", "view"):
        if_exists = cursor.keywords("if", "exists")
        name = cursor.dotted_name(3)
        cursor.punct(";")
        if name is None or not cursor.at_end():
            raise Refused("SYNTAX_ERROR: line 1:1: expected DROP VIEW [ IF EXISTS ] view_name")
        return Drop(name[1], name[2].lower(), if_exists)
    replace = cursor.keywords("create", "or", "replace", "view")
    if not replace and not cursor.keywords("create", "view"):
        return None
    name = cursor.dotted_name(3)
    if name is None or not cursor.keywords("as") or cursor.at_end():
        raise Refused("SYNTAX_ERROR: line 1:1: expected CREATE [ OR REPLACE ] VIEW view_name AS query")
    return Create(name[1], name[2].lower(), statement[cursor.peek()[2] :].strip().rstrip(";").rstrip(), replace)


class Views:
    """Extends ministack's `rewrite` of a query (tables become relations of DuckDB) and its `run`."""

    def __init__(self, rewrite: Rewrite, run: Run) -> None:
        self._rewrite = rewrite
        self._run = run

    async def rewrite(
        self, query: str, database: str, of_catalog: str | None = None, inside: Sequence[str] = ()
    ) -> tuple[str, dict[str, str], list[str]]:
        """Return the query with its tables, and with each view replaced by its statement. `inside` are the views around this one."""
        query, buckets, workdirs = await self._rewrite(query, database, of_catalog)
        edits = []
        for reference in athena._table_references(query):
            key = f"{reference.database or database}/{reference.table}"
            table = glue._tables.get(key)
            if not table or table.get("TableType") != "VIRTUAL_VIEW":
                continue
            if key in inside:
                raise Refused(f"VIEW_IS_RECURSIVE: View '{CATALOG}.{key.replace('/', '.')}' is recursive")
            view = View.of(table)
            sql, _, _ = await self.rewrite(view.sql, view.database, of_catalog, (*inside, key))
            edits.append((reference.start, reference.end, f"({sql})" + ("" if reference.aliased else f' AS "{reference.table}"')))
            if not reference.aliased:
                edits += athena._qualified_column_prefixes(query, reference.database or database, reference.table, edits[-1])
        for start, end, replacement in sorted(set(edits), reverse=True):
            query = query[:start] + replacement + query[end:]
        return query, buckets, workdirs

    async def run(self, query: str, database: str, of_catalog: str | None = None) -> Record:
        statement = parse(query)
        if statement is None:
            answer: Record = await self._run(query, database, of_catalog)
            return answer
        target = statement.database or database
        if isinstance(statement, Drop):
            _drop(statement, target)
        else:
            columns = await asyncio.to_thread(self._bind, statement, target, database, of_catalog)
            _create(statement, target, View(statement.sql, database, columns))
        return {"columns": [], "rows": [], "column_types": []}

    def _bind(self, statement: Create, target: str, database: str, of_catalog: str | None) -> tuple[tuple[str, str], ...]:
        # A view must not name itself, even if it replaces an existing view.
        sql, _, _ = asyncio.run(self.rewrite(statement.sql, database, of_catalog, (f"{target}/{statement.name}",)))
        return _columns(sql)


def _columns(sql: str) -> tuple[tuple[str, str], ...]:
    """Return name and type of each column of a query, without running it. Refuse a query that cannot run, in Athena's words."""
    with duckdb.connect(":memory:") as connection:
        try:
            found = [(str(name).lower(), str(kind)) for name, kind, *_ in connection.execute(f"DESCRIBE {sql}").fetchall()]
        except duckdb.Error as error:
            reason = str(error).splitlines()[0].partition(": ")[2]
            code = next((code for words, code in _CODES.items() if words in reason), "SYNTAX_ERROR")
            raise Refused(f"{code}: {reason}") from error
    for number, (name, _) in enumerate(found, 1):
        if not athena._NAME_RE.fullmatch(name):
            raise Refused(f"MISSING_COLUMN_NAME: Column name not specified at position {number}")
        if name in [earlier for earlier, _ in found[: number - 1]]:
            raise Refused(f"DUPLICATE_COLUMN_NAME: Column name '{name}' specified more than once")
    return tuple(found)


def _create(statement: Create, database: str, view: View) -> None:
    full_name = f"{CATALOG}.{database}.{statement.name}"
    with LOCK:
        if database not in glue._databases:
            raise Refused(f"SCHEMA_NOT_FOUND: line 1:1: Schema '{database}' does not exist")
        found = glue._tables.get(f"{database}/{statement.name}")
        if found and found.get("TableType") != "VIRTUAL_VIEW":
            raise Refused(f"TABLE_ALREADY_EXISTS: line 1:1: '{full_name}' is a table, and no view can stand in its place")
        if found and not statement.replace:
            raise Refused(f"TABLE_ALREADY_EXISTS: line 1:1: View '{full_name}' already exists")
        write = catalog.update if found else catalog.create
        write({"DatabaseName": database, "TableInput": view.table_input(statement.name)})


def _drop(statement: Drop, database: str) -> None:
    with LOCK:
        found = glue._tables.get(f"{database}/{statement.name}")
        if found and found.get("TableType") == "VIRTUAL_VIEW":
            catalog.delete({"DatabaseName": database, "Name": statement.name})
        elif found or not statement.if_exists:
            a_table = f", but a table with that name exists. Did you mean DROP TABLE {statement.name}?" if found else ""
            raise Refused(f"TABLE_NOT_FOUND: line 1:1: View '{CATALOG}.{database}.{statement.name}' does not exist{a_table}")


def _types(kind: str) -> tuple[str, str]:
    if kind.startswith("DECIMAL("):
        return kind.lower(), kind.lower()
    return _TYPES.get(kind, _TEXT)
