"""Keys of 64 bits, and negative ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.ingest.designs import delete, insert, rename, transaction

KEYS = [1, 2**31 - 1, 2**31, 2**32, 5_000_000_000, 2**63 - 1]


@pytest.fixture
def wide(ingest: Any) -> Any:
    """Ingest of the table design alone, whose key is bigint at the source and in its contract."""
    ingest.only("design").execute("ALTER TABLE design ALTER design_id TYPE bigint")
    design = ingest.contracts["design"]
    key = replace(design.column("design_id"), type="bigint", source_type="bigint")
    ingest.contracts["design"] = replace(design, columns=(key, *design.columns[1:]))
    return ingest


def test_keys_of_64_bits_are_landed_changed_and_deleted(wide: Any) -> None:
    wide.execute(insert(*KEYS))
    assert wide.keys(wide.tick(), "design") == KEYS
    wide.execute(rename(5_000_000_000, "Changed"))
    assert wide.keys(wide.tick(), "design") == [5_000_000_000]
    wide.execute(delete(2**63 - 1))
    batch = wide.tick()
    assert (batch.tables["design"].mode, wide.keys(batch, "design")) == ("full", KEYS[:-1])


def test_a_key_of_64_bits_that_was_seen_beside_an_open_transaction_is_landed_once(wide: Any) -> None:
    wide.execute(insert(1))
    wide.tick()
    with transaction(wide.source) as early:
        early.execute("SELECT pg_current_xact_id()")
        wide.execute(insert(*KEYS[1:]))
        assert wide.keys(wide.tick(), "design") == KEYS[1:]
        batch = wide.tick()
        assert (batch.tables["design"].mode, wide.keys(batch, "design")) == ("delta", [])


def test_a_negative_key_is_a_key(designs: Any) -> None:
    designs.execute(insert(-7, 4, 5))
    assert designs.keys(designs.tick(), "design") == [-7, 4, 5]
    designs.execute(delete(-7))
    assert designs.keys(designs.tick(), "design") == [1, 2, 3, 4, 5]
