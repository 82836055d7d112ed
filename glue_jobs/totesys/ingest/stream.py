"""COPY's CSV into Arrow record batches of the contract's exact types, in bounded memory: a thread writes a pipe, Arrow reads it."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

import pyarrow as pa
from pyarrow import csv

from totesys.errors import BadDataError

BLOCK_BYTES = 2 << 20  # one record batch, and the longest row; at 8 MiB the process peaks above 300 MiB
_COLUMN = re.compile(r"CSV column #(\d+)")


@contextmanager
def record_batches(copy: Callable[[IO[bytes]], None], schema: pa.Schema, table: str) -> Iterator[Iterator[pa.RecordBatch]]:
    """What `copy` writes, batch by batch. The end of the context raises what went wrong in the copy.

    BadDataError, naming table and column, for text that is not of the column's type. The value itself stays out of the message.
    """
    reader, writer = os.pipe()
    failures: list[BaseException] = []

    def pump() -> None:
        try:
            with os.fdopen(writer, "wb") as sink:
                copy(sink)
        except BrokenPipeError:
            pass  # the reader has given up, and says why
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=pump, name=f"copy {table}")
    thread.start()
    try:
        with os.fdopen(reader, "rb") as source:
            yield _parsed(source, schema)
    except pa.ArrowInvalid as error:
        thread.join()
        if not failures:  # a copy that broke off leaves half a row behind, which is no fault of the data
            raise _bad_value(error, schema, table) from None
    finally:
        thread.join()
    if failures:
        raise failures[0]


def _parsed(source: IO[bytes], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    # COPY writes null as nothing and the empty string as "": exactly told apart.
    options = csv.ConvertOptions(
        column_types=schema,
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        true_values=["t"],
        false_values=["f"],
    )
    with csv.open_csv(
        source,
        read_options=csv.ReadOptions(block_size=BLOCK_BYTES),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=options,
    ) as batches:
        yield from batches


def _bad_value(error: pa.ArrowInvalid, schema: pa.Schema, table: str) -> BadDataError:
    if "straddling" in str(error):
        return BadDataError(f"{table} has a row of more than {BLOCK_BYTES >> 20} MiB: shorten it at the source")
    found = _COLUMN.search(str(error))
    if not found:
        return BadDataError(f"{table} cannot be read as CSV: compare the table with catalog/source/{table}.json")
    column = schema.field(int(found[1]))
    return BadDataError(
        f"{table}.{column.name} holds a value that is not {column.type}: put it right at the source, or settle catalog/source/{table}.json"
    )
