"""The pipe between COPY and Arrow when one end fails: no row lost in silence, and nobody waits for ever."""

from __future__ import annotations

from typing import IO

import pyarrow as pa
import pytest
from totesys.errors import BadDataError, RetriableError
from totesys.ingest.stream import BLOCK_BYTES, record_batches

SCHEMA = pa.schema([("design_id", pa.int32()), ("design_name", pa.string())])


def rows(*writes: bytes, failure: BaseException | None = None) -> int:
    """Rows that arrive of what a copy writes before it fails."""

    def copy(sink: IO[bytes]) -> None:
        for write in writes:
            sink.write(write)
        if failure:
            raise failure

    with record_batches(copy, SCHEMA, "design") as batches:
        return sum(batch.num_rows for batch in batches)


def test_a_copy_that_writes_nothing_is_a_table_without_rows() -> None:
    assert rows() == 0


def test_a_copy_that_breaks_off_between_rows_is_a_failure() -> None:
    with pytest.raises(RetriableError, match="broke off"):
        rows(b"1\ta\n" * 10, failure=RetriableError("broke off"))


def test_a_copy_that_breaks_off_within_a_row_is_no_fault_of_the_data() -> None:
    with pytest.raises(RetriableError, match="broke off"):
        rows(b"1\ta\n2", failure=RetriableError("broke off"))


def test_a_bad_value_ends_a_copy_that_has_much_more_to_write() -> None:
    with pytest.raises(BadDataError, match=r"design\.design_id .* int32") as raised:
        rows(b"secret\ta\n", *[b"1\ta\n" * 100_000] * 100)
    assert "secret" not in str(raised.value)


def test_a_reader_that_gives_up_ends_the_copy() -> None:
    def copy(sink: IO[bytes]) -> None:
        while True:
            sink.write(b"1\ta\n" * 100_000)

    with pytest.raises(KeyError), record_batches(copy, SCHEMA, "design"):
        raise KeyError


def test_a_row_of_any_length_comes_whole() -> None:
    long = b"2\t" + b"x" * (5 * BLOCK_BYTES) + b"\n"
    assert rows(b"1\ta\n", long, long, b"3\tb\n") == 4
