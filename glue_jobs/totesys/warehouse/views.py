"""Create the warehouse's views: the latest version of each key of a fact that is not deleted at the source."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, MetaData, Select, Table, exists, select, text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.ddl import DDLElement

from totesys.contracts import Contract
from totesys.warehouse.models import PUBLIC_SCHEMA, tombstone_table


class _CreateView(DDLElement):
    """CREATE OR REPLACE VIEW, for which SQLAlchemy has no construct."""

    def __init__(self, view: Table, rows: Select[Any]) -> None:
        self.view = view
        self.rows = rows


@compiles(_CreateView)
def _compile(element: _CreateView, compiler: Any, **_: Any) -> str:
    rows = compiler.sql_compiler.process(element.rows, literal_binds=True)
    return f"CREATE OR REPLACE VIEW {compiler.preparer.format_table(element.view)} AS {rows}"


def current_rows(contract: Contract, fact: Table) -> Select[Any]:
    """Return the version with the highest record id of each key that has no tombstone.

    Both orders are descending, so that an index on (key, record id), read backwards, yields one key's row or all rows without a sort.
    """
    tombstone, key, record_id = tombstone_table(), fact.c[str(contract.version_of)], fact.c[contract.key]
    (source_table,) = contract.inputs
    deleted = exists().where(tombstone.c.source_table == source_table, tombstone.c.key == key)
    return select(fact).distinct(key).where(~deleted).order_by(key.desc(), record_id.desc())


def prepare_views(connection: Connection, warehouse: dict[str, Contract], held: Mapping[Table, Sequence[str]]) -> list[str]:
    """Create the views that are missing or have an old definition, inside the caller's transaction. Return their names.

    `held` are the columns that each table of the warehouse has. Up-to-date views are not replaced, since replacing a view waits for all
    its readers. Each view's comment ends with a digest of its definition.
    """
    facts = {table: warehouse[table.name] for table in held if warehouse[table.name].version_of}
    return [contract.current_view for fact, contract in facts.items() if _prepare(connection, contract, fact, held[fact])]


def drop_view(connection: Connection, view: str) -> list[str]:
    """Drop a view of ours if it exists. Return the GRANT statements that restore the rights of other roles once it is recreated."""
    granted = text("""
        SELECT format('GRANT %s ON %s TO %s%s', a.privilege_type, :view,
            CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
            CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
        FROM pg_class AS c CROSS JOIN aclexplode(c.relacl) AS a
        WHERE c.oid = to_regclass(:view) AND a.grantee <> c.relowner
    """)
    grants = list(connection.scalars(granted, {"view": view}))
    connection.execute(text(f"DROP VIEW IF EXISTS {view}"))
    return grants


def _prepare(connection: Connection, contract: Contract, fact: Table, held: Sequence[str]) -> bool:
    # The columns keep the table's order, in which later columns come last: replacing a view may only add columns at its end.
    columns = [fact.c[name] for name in held if name in fact.c]
    view = Table(contract.current_view, MetaData(schema=PUBLIC_SCHEMA))
    create = _CreateView(view, current_rows(contract, fact).with_only_columns(*columns))
    digest = hashlib.sha256(str(create.compile(connection)).encode()).hexdigest()[:12]
    comment = f"The latest version of each {contract.version_of} that is not deleted at the source. Definition {digest}."
    made_by = text("SELECT obj_description(to_regclass(:name), 'pg_class')")
    if connection.scalar(made_by, {"name": view.fullname}) == comment:
        return False
    connection.execute(create)
    connection.execute(text(f"COMMENT ON VIEW {view.fullname} IS :comment"), {"comment": comment})
    return True
