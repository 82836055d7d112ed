"""Athena's views of the lake: `current_sales_order`, `current_purchase_orders` and `current_payment`.

Each shows every order or payment as it is now, without those that are deleted at the source.

A view stores no rows: it is as new as the lake, and each query reads the fact once.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import boto3
from sqlalchemy import and_, column, func, quoted_name, select, table
from totesys.contracts import Contract, Contracts
from totesys.errors import FatalError

from operations.athena import ask
from operations.deployment.deployment import Deployment

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient

Ask = Callable[[str], object]  # runs a statement in the star database with Athena, and waits
DIGEST = "view_sha256"  # our parameter of the view: Athena reformats a statement before storing it, so the text cannot be compared
_AGE = quoted_name("_age", quote=True)  # no contract's column begins with an underscore; Trino requires quotes around such a name
_KEPT = (
    "Name", "Owner", "Retention", "StorageDescriptor", "PartitionKeys", "ViewOriginalText", "ViewExpandedText", "TableType", "Parameters",
)  # fmt: skip


def current_views(contracts: Contracts, star_database: str, mirror_database: str) -> dict[str, str]:
    """Return the query of each view, by the view's name."""
    return {contract.current_view: current_versions(contract, star_database, mirror_database) for contract in contracts.facts.values()}


def view_columns(fact: Contract) -> dict[str, str]:
    """Return name and type of the view's columns: all columns that the fact has in the lake."""
    return {held.name: held.type for held in fact.file_columns}


def current_versions(fact: Contract, star_database: str, mirror_database: str) -> str:
    """Return SQL for Athena: the newest version of each key, without the keys that are deleted in the mirror."""
    key = fact.lake_key
    mirror_table, _, mirror_key = str(fact.column(key).origin).partition(".")
    held = table(fact.table, *map(column, view_columns(fact)), schema=star_database).alias("held")
    # Trino optimises `row_number() = 1`: it keeps one row per key while it reads, and does not sort all versions.
    age = func.row_number().over(partition_by=held.c[key], order_by=held.c.batch_seq.desc())
    version = select(held, age.label(_AGE)).subquery("version")
    mirror = table(mirror_table, column(mirror_key), column("is_deleted"), schema=mirror_database).alias("mirror")
    is_gone = and_(mirror.c[mirror_key] == version.c[key], mirror.c.is_deleted)
    query = (
        select(*(version.c[name] for name in view_columns(fact)))
        .select_from(version.outerjoin(mirror, is_gone))
        .where(version.c[_AGE] == 1, mirror.c[mirror_key].is_(None))
    )
    return str(query.compile(compile_kwargs={"literal_binds": True}))


def create_views(session: boto3.Session, deployment: Deployment, contracts: Contracts) -> Counter[str]:
    """Create each view that is missing, and replace each that has another query. Count created, replaced and unchanged."""
    star, glue, athena = deployment.star_database, session.client("glue"), session.client("athena")
    queries = current_views(contracts, star, deployment.mirror_database)

    def ask_athena(statement: str) -> object:
        return ask(athena, deployment, statement, star)

    return Counter(create_view(glue, ask_athena, star, fact, queries[fact.current_view]) for fact in contracts.facts.values())


def create_view(glue: GlueClient, ask_athena: Ask, database: str, fact: Contract, query: str) -> str:
    """Create or replace a fact's view, and check it. Return created, replaced or unchanged."""
    name, digest = fact.current_view, view_digest(fact, query)
    before = find_table(glue, database, name)
    if is_current(before, digest):
        return "unchanged"
    ask_athena(f"CREATE OR REPLACE VIEW {name} AS {query}")
    made = find_table(glue, database, name)
    if not made or columns_of(made) != list(view_columns(fact)):
        raise FatalError(
            f"Athena says that it created view {database}.{name}, but the Data Catalog does not have it: drop the view, and deploy again"
        )
    description = f"The newest version of each {fact.lake_key} in {fact.table}, without those that are gone from the source."
    # Any: a TableInput, whose members are chosen by name here.
    view: Any = {
        **{member: made[member] for member in _KEPT if member in made},
        "Description": description,
        "Parameters": {**made.get("Parameters", {}), DIGEST: digest},
    }
    glue.update_table(DatabaseName=database, TableInput=view)
    return "replaced" if before else "created"


def view_digest(fact: Contract, query: str) -> str:
    """Return a digest of the query and the types. With other types in its tables, Athena refuses to read a view."""
    return hashlib.sha256(f"{query} {view_columns(fact)}".encode()).hexdigest()


def is_current(found: Mapping[str, Any] | None, digest: str) -> bool:
    """Whether the view exists and has this digest."""
    return found is not None and found.get("Parameters", {}).get(DIGEST) == digest


def find_table(glue: GlueClient, database: str, name: str) -> Mapping[str, Any] | None:
    """Return a table or view of the Data Catalog; None when there is none of that name."""
    try:
        return glue.get_table(DatabaseName=database, Name=name)["Table"]
    except glue.exceptions.EntityNotFoundException:
        return None


def columns_of(found: Mapping[str, Any]) -> list[str]:
    """Return the names of a table's columns."""
    return [held["Name"] for held in found["StorageDescriptor"]["Columns"]]
