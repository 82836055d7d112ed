"""Catalog tables. An update replaces a table as a whole, may require a version, and archives the old one unless SkipArchive is set."""

import copy
import time

from ministack.core.responses import AccountRegionScopedDict, get_account_id
from ministack.services import glue

from local_aws.api import Action, AwsError, Record, already_exists, not_found

_KEPT = (
    "Description", "Owner", "LastAccessTime", "LastAnalyzedTime", "Retention", "StorageDescriptor", "PartitionKeys", "ViewOriginalText",
    "ViewExpandedText", "TableType", "Parameters", "TargetTable",
)  # fmt: skip
_DEFAULTS: Record = {"Owner": "hadoop", "Retention": 0, "PartitionKeys": [], "Parameters": {}, "StorageDescriptor": {}}

_old_versions = AccountRegionScopedDict()  # "database/table" -> the archived versions, oldest first


def actions() -> dict[str, Action]:
    return {
        "CreateTable": create,
        "UpdateTable": update,
        "DeleteTable": delete,
        "BatchDeleteTable": _batch_delete,
        "GetTableVersion": _get_version,
        "GetTableVersions": _get_versions,
    }


def key_of(data: Record, name_member: str = "TableName") -> str:
    return f"{data['DatabaseName']}/{data[name_member]}"


def table_at(key: str) -> Record:
    if key not in glue._tables:
        database, _, name = key.partition("/")
        raise not_found(f"Table {name} not found in database {database}")
    return glue._tables[key]


def _content(table_input: Record) -> Record:
    given = {name: copy.deepcopy(table_input[name]) for name in _KEPT if table_input.get(name) is not None}
    return {**copy.deepcopy(_DEFAULTS), **given, "Owner": given.get("Owner") or _DEFAULTS["Owner"]}


def create(data: Record) -> Record:
    database, table_input = data["DatabaseName"], data["TableInput"]
    key = f"{database}/{table_input['Name']}"
    if database not in glue._databases:
        raise not_found(f"Database {database} not found")
    if key in glue._tables:
        raise already_exists(f"Table {table_input['Name']} already exists in database {database}")
    now = time.time()
    identity = {"Name": table_input["Name"], "DatabaseName": database, "CatalogId": get_account_id(), "VersionId": "0"}
    glue._tables[key] = {**_content(table_input), **identity, "CreateTime": now, "UpdateTime": now, "IsRegisteredWithLakeFormation": False}
    _old_versions[key] = []
    return {}


def update(data: Record) -> Record:
    key = f"{data['DatabaseName']}/{data['TableInput']['Name']}"
    table = table_at(key)
    expected = data.get("VersionId")
    if expected is not None and expected != table["VersionId"]:
        raise AwsError("ConcurrentModificationException", f"Table {table['Name']} is at version {table['VersionId']}, not {expected}")
    if not data.get("SkipArchive"):
        _old_versions.setdefault(key, []).append(table)
    identity = {name: table[name] for name in ("Name", "DatabaseName", "CatalogId", "CreateTime", "IsRegisteredWithLakeFormation")}
    version = str(int(table["VersionId"]) + 1)
    glue._tables[key] = {**_content(data["TableInput"]), **identity, "VersionId": version, "UpdateTime": time.time()}
    return {}


def delete(data: Record) -> Record:
    key = key_of(data, "Name")
    table_at(key)
    for store in (glue._tables, glue._partitions, glue._partition_indexes, _old_versions):
        store.pop(key, None)
    glue._table_column_statistics.pop(key, None)
    glue._partition_column_statistics.pop(key, None)
    return {}


def _batch_delete(data: Record) -> Record:
    errors = []
    for name in data["TablesToDelete"]:
        try:
            delete({"DatabaseName": data["DatabaseName"], "Name": name})
        except AwsError as error:
            errors.append({"TableName": name, "ErrorDetail": {"ErrorCode": error.code, "ErrorMessage": str(error)}})
    return {"Errors": errors}


def _newest_first(data: Record) -> list[Record]:
    key = key_of(data)
    return [table_at(key), *reversed(_old_versions.get(key, []))]


def _get_versions(data: Record) -> Record:
    versions = _newest_first(data)[: data.get("MaxResults")]
    return {"TableVersions": [{"Table": table, "VersionId": table["VersionId"]} for table in versions]}


def _get_version(data: Record) -> Record:
    for table in _newest_first(data):
        if data.get("VersionId") in (None, table["VersionId"]):
            return {"TableVersion": {"Table": table, "VersionId": table["VersionId"]}}
    raise not_found(f"Version {data['VersionId']} of table {data['TableName']} not found")
