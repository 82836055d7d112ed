"""Turn Spark's errors at the lake into the pipeline's own: S3 out of reach, refusals, and files that break manifests or contracts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from py4j.java_gateway import is_instance_of
from py4j.protocol import Py4JJavaError
from pyspark import SparkContext
from pyspark.errors import AnalysisException

from totesys.errors import BadDataError, FatalError, RetriableError
from totesys.lake.files import MISFIT

_DAMAGED = re.compile(r"(s3\S*://\S+) is not a Parquet file")  # Parquet has no class of its own for that


@contextmanager
def lake_errors() -> Iterator[None]:
    """Turn Spark's errors into the pipeline's own, if their meaning is known. All other errors pass unchanged."""
    try:
        yield
    except AnalysisException as error:
        if error.getErrorClass() != "PATH_NOT_FOUND":
            raise
        path = (error.getMessageParameters() or {}).get("path", "an address of the manifest")
        raise BadDataError(f"{path} has no files, but the newest manifest names it: restore the objects") from error
    except Py4JJavaError as error:
        found = list(causes(error))
        if damaged := next(filter(None, (_DAMAGED.match(cause.getMessage() or "") for cause in found)), None):
            raise BadDataError(f"{damaged[1]} is damaged: it is not a Parquet file. Nothing was committed: restore the object") from error
        for cause in found:
            if (text := cause.getMessage() or "").startswith(MISFIT):
                raise BadDataError(
                    f"{text}; nothing was committed. Deploy the contract that the files were written under, with a higher version,"
                    " or use the new type for a new column"
                ) from error
            if is_a(cause, "org.apache.spark.sql.execution.datasources.SchemaColumnConvertNotSupportedException"):
                raise BadDataError(
                    f"column {cause.getColumn()} of a lake file is {cause.getPhysicalType()}, but its contract says"
                    f" {cause.getLogicalType()}: publish the table again with the contract's types"
                ) from error
            if is_a(cause, "java.io.FileNotFoundException"):
                raise BadDataError(f"a file of the lake is gone ({_first_line(cause)}): restore the object") from error
            if is_a(cause, "java.nio.file.AccessDeniedException"):
                raise FatalError(
                    f"this job has no access to the lake ({_first_line(cause)}): check its role and the bucket's policy"
                ) from error
            if is_a(cause, "java.io.IOException"):
                raise RetriableError(
                    f"the lake cannot be reached ({_first_line(cause)}). Nothing was committed: the next run tries again"
                ) from error
        raise


def causes(error: Py4JJavaError) -> Iterator[Any]:
    """Yield the Java exception and its causes, outermost first."""
    exception = error.java_exception
    while exception is not None:
        yield exception
        exception = exception.getCause()


def is_a(exception: Any, name: str) -> bool:
    """Return whether a Java exception is of the class or interface with this name."""
    return bool(is_instance_of(SparkContext._gateway, exception, name))


def _first_line(exception: Any) -> str:
    """Return the class and the first line of the message. A server's message or a stack trace may follow that line."""
    return f"{exception.getClass().getSimpleName()}: {(exception.getMessage() or 'no message').splitlines()[0]}"
