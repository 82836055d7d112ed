"""What Spark fails with at the lake, in our words: S3 out of reach, refusals, and files that are not what manifests and contracts say."""

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
    """Turns what Spark fails with into the pipeline's own errors, where we know what it means; the rest goes on as it is."""
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
                    " or give the new type to a new column"
                ) from error
            if is_a(cause, "org.apache.spark.sql.execution.datasources.SchemaColumnConvertNotSupportedException"):
                raise BadDataError(
                    f"column {cause.getColumn()} of a lake file is {cause.getPhysicalType()}, its contract says {cause.getLogicalType()}:"
                    " publish the table again with the contract's types"
                ) from error
            if is_a(cause, "java.io.FileNotFoundException"):
                raise BadDataError(f"a file of the lake is gone ({_first_line(cause)}): restore the object") from error
            if is_a(cause, "java.nio.file.AccessDeniedException"):
                raise FatalError(
                    f"the lake is closed to this job ({_first_line(cause)}): check its role and the bucket's policy"
                ) from error
            if is_a(cause, "java.io.IOException"):
                raise RetriableError(
                    f"the lake cannot be reached ({_first_line(cause)}): nothing was committed, the next run tries again"
                ) from error
        raise


def causes(error: Py4JJavaError) -> Iterator[Any]:
    """The Java exception and what caused it, outermost first."""
    exception = error.java_exception
    while exception is not None:
        yield exception
        exception = exception.getCause()


def is_a(exception: Any, name: str) -> bool:
    """Whether a Java exception is of the class or interface of that name."""
    return bool(is_instance_of(SparkContext._gateway, exception, name))


def _first_line(exception: Any) -> str:
    """The class, and what it says before any server's words or a stack trace begin."""
    return f"{exception.getClass().getSimpleName()}: {(exception.getMessage() or 'no words').splitlines()[0]}"
