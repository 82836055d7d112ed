"""Turn COPY's text format into Arrow record batches of the contract's exact types. A thread writes a pipe, and Arrow reads blocks from it.

In this format a line feed ends a row and a tab ends a value. Neither occurs inside a value: COPY writes each as a backslash and a letter.
So the stream can be cut after any line feed, and there are no quotes to parse. `\\N` is null; an empty value is the empty string.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from totesys.errors import BadDataError

BLOCK_BYTES = 2 << 20  # one record batch, or one row that is longer; at 8 MiB the process peaks above 300 MiB
_COLUMN = re.compile(r"CSV column #(\d+)")
_NULL = r"\N"
# The order matters: an escaped backslash first becomes NUL, which no text of PostgreSQL contains. Otherwise it would start another escape.
_ESCAPES = (
    (r"\\", "\0"), (r"\b", "\b"), (r"\f", "\f"), (r"\n", "\n"), (r"\r", "\r"), (r"\t", "\t"), (r"\v", "\v"), ("\0", "\\"),
)  # fmt: skip


@contextmanager
def record_batches(copy: Callable[[IO[bytes]], None], schema: pa.Schema, table: str) -> Iterator[Iterator[pa.RecordBatch]]:
    """Yield what `copy` writes, batch by batch. An error in `copy` is raised when the context ends.

    BadDataError that names table and column when a text does not have the column's type. The message does not contain the value.
    """
    reader, writer = os.pipe()
    failures: list[BaseException] = []

    def pump() -> None:
        try:
            with os.fdopen(writer, "wb") as sink:
                copy(sink)
        except BrokenPipeError:
            pass  # the reader has stopped early, and raises the reason
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=pump, name=f"copy {table}")
    thread.start()
    try:
        with os.fdopen(reader, "rb") as source:
            yield (_parsed(rows, schema) for rows in _whole_rows(source))
    except pa.ArrowInvalid as error:
        thread.join()
        if not failures:  # a copy that failed leaves half a row behind; then the data is not at fault
            raise _bad_value(error, schema, table) from None
    finally:
        thread.join()
    if failures:
        raise failures[0]


def _whole_rows(source: IO[bytes]) -> Iterator[bytes]:
    """Yield the stream in blocks that end with a whole row. A row longer than BLOCK_BYTES makes its block longer."""
    parts: list[bytes] = []
    while block := source.read(BLOCK_BYTES):
        end = block.rfind(b"\n") + 1
        if end:
            yield b"".join((*parts, block[:end]))
            parts = []
        parts.append(block[end:])
    if rest := b"".join(parts):
        yield rest


def _parsed(rows: bytes, schema: pa.Schema) -> pa.RecordBatch:
    table = csv.read_csv(
        pa.py_buffer(rows),
        read_options=csv.ReadOptions(column_names=schema.names, block_size=len(rows), use_threads=False),
        parse_options=csv.ParseOptions(delimiter="\t", quote_char=False, double_quote=False, ignore_empty_lines=False),
        convert_options=csv.ConvertOptions(
            column_types=schema, null_values=[_NULL], strings_can_be_null=True, true_values=["t"], false_values=["f"]
        ),
    )
    (batch,) = table.to_batches()
    return pa.record_batch([_unescaped(column) for column in batch.columns], schema=schema)


def _unescaped(values: pa.Array) -> pa.Array:
    """Return the values without COPY's escapes. Only texts have escapes."""
    if not pa.types.is_string(values.type) or not pc.any(pc.match_substring(values, "\\")).as_py():
        return values
    for escape, character in _ESCAPES:
        values = pc.replace_substring(values, escape, character)
    return values


def _bad_value(error: pa.ArrowInvalid, schema: pa.Schema, table: str) -> BadDataError:
    found = _COLUMN.search(str(error))
    if not found:
        return BadDataError(f"{table} cannot be read as COPY's text format: compare the table with catalog/source/{table}.json")
    column = schema.field(int(found[1]))
    return BadDataError(
        f"{table}.{column.name} holds a value that is not {column.type}: correct it at the source, or settle catalog/source/{table}.json"
    )
