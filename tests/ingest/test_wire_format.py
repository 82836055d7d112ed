"""What COPY writes is what a plain SELECT gives, for every type of the contracts, whatever the texts hold and wherever a block ends."""

from __future__ import annotations

from contextlib import closing
from datetime import date, datetime
from decimal import Decimal
from typing import IO, Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from totesys.contracts import RAW_LINEAGE, load_contracts
from totesys.contracts.arrow_types import arrow_type
from totesys.ingest import stream

SOURCE_TYPES = {
    "int": "integer", "bigint": "bigint", "string": "text", "boolean": "boolean", "date": "date", "timestamp": "timestamp(3)",
    "decimal(10,2)": "numeric(10,2)",
}  # fmt: skip
SCHEMA = pa.schema([(f"c{number}", arrow_type(type_)) for number, type_ in enumerate(SOURCE_TYPES)])
COLUMNS = ", ".join(f"unnest(%s::{type_}[]) AS c{number}" for number, type_ in enumerate(SOURCE_TYPES.values()))

AWKWARD = ("\r", "\n", "\r\n", "\t", "\v", "\b", "\f", "\\", "\\N", "\\.", '"', "'", ",", "", " ", "a", "é", "€", "😀", "\x01", "\x7f")
texts = st.lists(st.sampled_from(AWKWARD), max_size=30).map("".join) | st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=60
)
milliseconds = st.datetimes().map(lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000))
rows = st.tuples(
    *(
        st.none() | values
        for values in (
            st.integers(-(2**31), 2**31 - 1),
            st.integers(-(2**63), 2**63 - 1),
            texts,
            st.booleans(),
            st.dates(),
            milliseconds,
            st.decimals("-99999999.99", "99999999.99", places=2),
        )
    )
)
LONG_ROW = (1, 2**63 - 1, "\r\n" * 700 + "x", True, date(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999000), Decimal("-0.10"))


def test_every_type_of_the_contracts_is_tried() -> None:
    contracts = load_contracts()
    lake = {column.type for contract in contracts.source.values() for column in (*contract.columns, *RAW_LINEAGE)}
    assert lake <= SOURCE_TYPES.keys()


@pytest.fixture(scope="module")
def connection(postgres: Any) -> Any:
    with closing(postgres.connect("postgres")) as connection:
        connection.set_client_encoding("UTF8")
        yield connection


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(rows, min_size=1, max_size=12), st.integers(1, 1024))
@example([(None, None, "\r\n", None, None, None, None)] * 5, 7)
@example([LONG_ROW, LONG_ROW], 3)
def test_a_copy_is_what_a_select_gives(connection: Any, monkeypatch: pytest.MonkeyPatch, written: list[Any], block: int) -> None:
    with connection.cursor() as cursor:
        query = cursor.mogrify(f"SELECT {COLUMNS}", [list(column) for column in zip(*written)]).decode()
        cursor.execute(query)
        selected = [tuple(row) for row in cursor.fetchall()]

    def copy(sink: IO[bytes]) -> None:
        with connection.cursor() as cursor:
            cursor.copy_expert(f"COPY ({query}) TO STDOUT", sink)

    with monkeypatch.context() as patch:
        patch.setattr(stream, "BLOCK_BYTES", block)
        with stream.record_batches(copy, SCHEMA, "design") as batches:
            copied = [tuple(row.values()) for batch in batches for row in batch.to_pylist()]
    assert copied == selected == written
