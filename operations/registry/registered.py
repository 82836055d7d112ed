"""The versions of a contract that the Data Catalog keeps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from totesys.contracts import Contract
from totesys.contracts.registry import registered_contract
from totesys.errors import FatalError

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient


@dataclass(frozen=True)
class Version:
    """A contract, and when it was registered."""

    contract: Contract
    since: datetime


def registered_versions(glue: GlueClient, database: str, table: str) -> list[Version]:
    """Return the versions, newest first. Versions of the table with the same contract count as one. FatalError without a readable one."""
    try:
        pages = glue.get_paginator("get_table_versions").paginate(DatabaseName=database, TableName=table)
        kept = [version for page in pages for version in page["TableVersions"]]
    except glue.exceptions.EntityNotFoundException:
        kept = []
    versions: list[Version] = []
    found = [version["Table"] for version in sorted(kept, key=lambda version: int(version["VersionId"]))]
    for described in found:
        try:
            contract = registered_contract(described)
        except FatalError:
            if described is found[-1]:
                raise
            continue  # not a contract, or one in an earlier form
        if not versions or versions[-1].contract != contract:
            versions.append(Version(contract, described.get("UpdateTime") or described["CreateTime"]))
    if not versions:
        raise FatalError(f"no contract of {table} is registered in {database}: run scripts/deploy.sh")
    return versions[::-1]


def version_numbered(versions: list[Version], number: int | None) -> Version:
    """Return the version of that number, or the newest. FatalError names the existing versions."""
    for version in versions:
        if number in (None, version.contract.version):
            return version
    known = ", ".join(dict.fromkeys(str(version.contract.version) for version in versions))
    raise FatalError(f"{versions[0].contract.table} has no registered version {number}: there are {known}")
