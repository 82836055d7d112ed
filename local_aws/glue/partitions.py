"""Partitions of catalog tables: all calls of the API, single and in batches."""

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterable

from ministack.core.responses import get_account_id
from ministack.services import glue

from local_aws.api import Action, AwsError, Record, already_exists, invalid, not_found
from local_aws.glue.catalog import key_of, table_at

_NUMBERS = ("tinyint", "smallint", "int", "bigint")


def actions() -> dict[str, Action]:
    return {
        "CreatePartition": lambda data: _create(key_of(data), data["PartitionInput"]),
        "BatchCreatePartition": _batch_create,
        "UpdatePartition": lambda data: _update(key_of(data), data["PartitionValueList"], data["PartitionInput"]),
        "BatchUpdatePartition": _batch_update,
        "DeletePartition": lambda data: _delete(key_of(data), data["PartitionValues"]),
        "BatchDeletePartition": _batch_delete,
        "GetPartition": lambda data: {"Partition": _find(key_of(data), data["PartitionValues"])},
        "BatchGetPartition": _batch_get,
        "GetPartitions": _get_all,
    }


def _create(key: str, partition_input: Record) -> Record:
    table = table_at(key)
    values = partition_input.get("Values") or []
    if len(values) != len(table["PartitionKeys"]):
        raise invalid(f"{key} has {len(table['PartitionKeys'])} partition keys, and {len(values)} values are given")
    if any(partition["Values"] == values for partition in _partitions(key)):
        raise already_exists(f"Partition {values} of {key} already exists")
    now = time.time()
    _partitions(key).append({**partition_input, **_identity(table), "CreationTime": now, "LastAccessTime": now})
    return {}


def _update(key: str, values: list[str], partition_input: Record) -> Record:
    table, partition = table_at(key), _find(key, values)
    if partition_input.get("Values", values) != values:
        raise invalid(f"The values of partition {values} of {key} cannot be changed")
    created = partition["CreationTime"]
    partition.clear()
    partition.update({**partition_input, "Values": values, **_identity(table), "CreationTime": created, "LastAccessTime": time.time()})
    return {}


def _delete(key: str, values: list[str]) -> Record:
    partition = _find(key, values)
    glue._partitions[key] = [other for other in _partitions(key) if other is not partition]
    return {}


def _batch_create(data: Record) -> Record:
    key = key_of(data)
    return _each(data["PartitionInputList"], 100, "PartitionValues", lambda item: item["Values"], lambda item: _create(key, item))


def _batch_update(data: Record) -> Record:
    key = key_of(data)
    table_at(key)
    return _each(
        data["Entries"],
        100,
        "PartitionValueList",
        lambda item: item["PartitionValueList"],
        lambda item: _update(key, item["PartitionValueList"], item["PartitionInput"]),
    )


def _batch_delete(data: Record) -> Record:
    key = key_of(data)
    return _each(data["PartitionsToDelete"], 25, "PartitionValues", lambda item: item["Values"], lambda item: _delete(key, item["Values"]))


def _each(items: list[Record], most: int, member: str, values: Callable[[Record], list[str]], act: Callable[[Record], Record]) -> Record:
    """Call the action for each item. Report refused items in Errors; the others are done."""
    if len(items) > most:
        raise AwsError("ValidationException", f"{len(items)} partitions in one call: at most {most} are allowed")
    errors = []
    for item in items:
        try:
            act(item)
        except AwsError as error:
            errors.append({member: values(item), "ErrorDetail": {"ErrorCode": error.code, "ErrorMessage": str(error)}})
    return {"Errors": errors}


def _batch_get(data: Record) -> Record:
    key = key_of(data)
    table_at(key)
    found, missing = [], []
    for wanted in data["PartitionsToGet"]:
        try:
            found.append(_find(key, wanted["Values"]))
        except AwsError:
            missing.append(wanted)
    return {"Partitions": found, "UnprocessedKeys": missing}


def _get_all(data: Record) -> Record:
    key = key_of(data)
    table, partitions = table_at(key), _partitions(key)
    if data.get("Expression"):
        chosen = _matching(data["Expression"], table["PartitionKeys"], [partition["Values"] for partition in partitions])
        partitions = [partition for number, partition in enumerate(partitions) if number in chosen]
    return {"Partitions": partitions}


def _matching(expression: str, keys: list[Record], values: Iterable[list[str]]) -> set[int]:
    """Return the positions whose values satisfy the expression. SQLite evaluates it, because Glue's syntax is that of a WHERE clause."""
    columns = ", ".join(f'"{key["Name"]}" {"INTEGER" if key["Type"] in _NUMBERS else "TEXT"}' for key in keys)
    marks = ", ".join("?" for _ in keys)
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        database.execute(f"CREATE TABLE partitions (position INTEGER, {columns})")
        database.executemany(f"INSERT INTO partitions VALUES (?, {marks})", ((number, *row) for number, row in enumerate(values)))  # nosec B608
        try:
            rows = database.execute(f"SELECT position FROM partitions WHERE {expression}").fetchall()  # nosec B608
        except sqlite3.Error as error:
            raise invalid(f"Unsupported expression {expression!r}: {error}") from error
    return {position for (position,) in rows}


def _partitions(key: str) -> list[Record]:
    return glue._partitions.setdefault(key, [])


def _find(key: str, values: list[str]) -> Record:
    table_at(key)
    for partition in _partitions(key):
        if partition["Values"] == values:
            return partition
    raise not_found(f"Partition {values} of {key} not found")


def _identity(table: Record) -> Record:
    return {"DatabaseName": table["DatabaseName"], "TableName": table["Name"], "CatalogId": get_account_id()}
