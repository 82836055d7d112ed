"""Athena's rules for queries: registered partitions, declared columns, views, parameters, and results in S3."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from ministack.core.responses import error_response_json
from ministack.services import athena, glue, s3

from local_aws.api import LOCK, Record, Response
from local_aws.athena import parquet, views
from local_aws.s3 import objects
from local_aws.s3.objects import Stored, split
from local_aws.seams import replace


class LocalFiles:
    """S3 objects as files for DuckDB, written once per content."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, stored: Stored) -> Path:
        """Return the file of an object. Its path keeps the object's folders, because some formats read partition values from them."""
        file = self._folder / stored.bucket / stored.key / stored.etag
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            fresh = file.with_suffix(f".{time.monotonic_ns()}")
            fresh.write_bytes(objects.read(stored))
            fresh.rename(file)
        return file


class Relations:
    """Tables of the catalog as SQL for DuckDB."""

    def __init__(self, files: LocalFiles, other_empty: Callable[[Record], str]) -> None:
        self._files = files
        self._schemas = parquet.Schemas()
        self._other_empty = other_empty

    def of(self, table: Record) -> str:
        """Return the SQL of a table. Parquet follows Athena's rules. Other formats follow ministack: every file below the location."""
        if athena._data_format(table) != "parquet":
            copies = [str(self._files.path(stored)) for stored in objects.under(table["StorageDescriptor"]["Location"])]
            return athena._table_relation(table, copies) if copies else self._other_empty(table)
        columns, keys = table["StorageDescriptor"]["Columns"], table.get("PartitionKeys") or []
        parts = []
        for values, location, declared in self._places(table, columns):
            files = {self._files.path(stored): stored for stored in objects.under(location)}
            if files:
                parts.append(parquet.relation(columns, list(zip(keys, values, strict=True)), files, self._schemas, declared))
        return f"({' UNION ALL '.join(parts) or parquet.empty([*columns, *keys])})"

    def _places(self, table: Record, columns: list[Record]) -> list[tuple[list[str], str, dict[str, str]]]:
        """Return partition values, location and declared column types of each place that holds the table's data."""
        if not table.get("PartitionKeys"):
            return [([], table["StorageDescriptor"]["Location"], {})]
        with LOCK:
            partitions = list(glue._partitions.get(f"{table['DatabaseName']}/{table['Name']}", []))
        declared = {column["Name"]: column["Type"] for column in columns}
        for partition in partitions:
            for column in partition["StorageDescriptor"].get("Columns") or []:
                if not parquet.can_coerce(column["Type"], declared.get(column["Name"], column["Type"])):
                    raise parquet.BadData(
                        f"HIVE_PARTITION_SCHEMA_MISMATCH: The column '{column['Name']}' in table '{table['DatabaseName']}.{table['Name']}'"
                        f" is declared as type '{declared[column['Name']]}', but partition {partition['Values']} declared it as type"
                        f" '{column['Type']}'."
                    )
        descriptors = [(partition["Values"], partition["StorageDescriptor"]) for partition in partitions]
        return [
            (values, descriptor["Location"], {column["Name"]: column["Type"] for column in descriptor.get("Columns") or []})
            for values, descriptor in descriptors
        ]


def extend(folder: Path) -> None:
    """Replace ministack's rules. `folder` caches objects."""
    relations = Relations(LocalFiles(folder), athena._empty_relation)
    # ministack looks for files first, and uses the empty relation if there are none. So every table comes to `relations`.
    replace(athena, "_materialize_table_files", lambda location, workdirs: [])
    replace(athena, "_empty_relation", relations.of)
    with_views = views.Views(athena._rewrite_data_paths, athena._run_duckdb)
    replace(athena, "_rewrite_data_paths", _off_the_loop(with_views.rewrite))
    replace(athena, "_run_duckdb", with_views.run)
    replace(athena, "_start_query_execution", _with_parameters(_with_output_location(athena._start_query_execution)))
    replace(athena, "_ensure_default_workgroup", _ensure_primary_workgroup)
    replace(athena, "_save_query_results", _save_results)
    replace(athena, "_datum_text", text)


def _off_the_loop(rewrite: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Read objects on a thread, so that other requests are served meanwhile."""

    async def rewrite_on_a_thread(query: str, database: str, catalog: str | None = None) -> Any:
        return await asyncio.to_thread(asyncio.run, rewrite(query, database, catalog))

    return rewrite_on_a_thread


def _ensure_primary_workgroup() -> None:
    """Create the work group that every account has, with all members that clients read."""
    if "primary" not in athena._workgroups:
        version = {"SelectedEngineVersion": "AUTO", "EffectiveEngineVersion": "Athena engine version 3"}
        configuration = {
            "ResultConfiguration": {},
            "EnforceWorkGroupConfiguration": False,
            "PublishCloudWatchMetricsEnabled": False,
            "RequesterPaysEnabled": False,
            "EngineVersion": version,
        }
        athena._workgroups["primary"] = {"Name": "primary", "State": "ENABLED", "CreationTime": time.time(), "Configuration": configuration}


def _with_output_location(start: Callable[[Record], Response]) -> Callable[[Record], Response]:
    """Let the work group decide where results go, if it enforces its configuration, which is the default."""

    def start_query(data: Record) -> Response:
        name = data.get("WorkGroup") or "primary"
        workgroup = athena._workgroups.get(name)
        if workgroup is None:
            return error_response_json("InvalidRequestException", f"WorkGroup {name} is not found.", 400)
        configuration = workgroup.get("Configuration") or {}
        of_workgroup = (configuration.get("ResultConfiguration") or {}).get("OutputLocation")
        location = (data.get("ResultConfiguration") or {}).get("OutputLocation")
        if of_workgroup and (not location or configuration.get("EnforceWorkGroupConfiguration", True) in (True, "true")):
            location = of_workgroup
        result = {"OutputLocation": location.rstrip("/") + "/"} if location else {}
        return start({**data, "WorkGroup": name, "ResultConfiguration": result})

    return start_query


def _with_parameters(start: Callable[[Record], Response]) -> Callable[[Record], Response]:
    """Replace the question marks of a query by its parameters, which are SQL literals."""

    def start_query(data: Record) -> Response:
        query, values = data["QueryString"], data.get("ExecutionParameters") or []
        places = [(begin, end) for kind, text, begin, end in athena._sql_tokens(query) if (kind, text) == ("punct", "?")]
        if len(places) != len(values):
            reason = f"INVALID_PARAMETER_USAGE: Incorrect number of parameters: expected {len(places)} but found {len(values)}"
            return error_response_json("InvalidRequestException", reason, 400)
        for (begin, end), value in reversed(list(zip(places, values, strict=True))):
            query = query[:begin] + value + query[end:]
        return start({**data, "QueryString": query})

    return start_query


async def _save_results(query_id: str) -> None:
    """Write the results to `<output location>/<query id>.csv`. As in Athena, values are quoted and a null is empty."""
    execution = athena._executions[query_id]
    results = execution["_results"]
    bucket, key = split(execution["ResultConfiguration"]["OutputLocation"])
    body = "".join(map(_csv_line, [results["columns"], *results["rows"]])).encode()
    status, _, answer = s3._put_object(bucket, key, body, {"content-type": "text/csv", "content-length": str(len(body))})
    if status >= 300:
        raise RuntimeError(f"The results could not be written to s3://{bucket}/{key}: {answer!r}")


def _csv_line(values: Sequence[Any]) -> str:
    quoted = ("" if value is None else '"' + text(value).replace('"', '""') + '"' for value in values)
    return ",".join(quoted) + "\n"


def text(value: Any) -> str:
    """Return a value as Athena prints it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="milliseconds")
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(value)
