"""What a batch keeps beside its manifest is damaged: the next batch stops with one line that names the object and what restores it."""

from __future__ import annotations

from typing import Any

import pytest
from totesys.errors import FatalError

from tests.ingest.designs import insert, rename, transaction

PARQUET_OF_NOTHING = b"PAR1PAR1"


@pytest.fixture
def beside(designs: Any) -> dict[str, str]:
    """The objects beside the manifest of the newest batch, which has one of each kind."""
    designs.execute("UPDATE design SET created_at = 'infinity' WHERE design_id = 1")
    with transaction(designs.source) as early:
        early.execute("SELECT pg_current_xact_id()")
        designs.execute(insert(4))
        capture = designs.tick().tables["design"]
    designs.execute(rename(2, "Changed"))
    return {"key set": capture.key_set, "seen": capture.seen, "open letters": capture.dead_letters.open_letters}


def refusal(designs: Any) -> str:
    before = designs.newest()
    with pytest.raises(FatalError) as refused:
        designs.tick()
    assert designs.newest() == before
    return str(refused.value)


@pytest.mark.parametrize("body", [b"", b"\xff", PARQUET_OF_NOTHING, b'{"format": 1}'], ids=["empty", "a byte", "Parquet", "JSON"])
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("key set", "it is not a key set"),
        ("seen", "it is not Parquet with key, source_xid"),
        ("open letters", "it is not Parquet with key, source_xid, batch_seq, reason"),
    ],
)
def test_a_damaged_object_is_named_and_nothing_is_committed(
    designs: Any, beside: dict[str, str], kind: str, reason: str, body: bytes
) -> None:
    sound = designs.raw.get(beside[kind])
    designs.raw.put(beside[kind], body)
    line = refusal(designs)
    address = f"s3://{designs.raw.name}/{beside[kind]}"
    assert line.startswith(f"{address} cannot be read: {reason}. Restore the object's earlier version, which the bucket keeps")
    assert "\n" not in line

    designs.raw.put(beside[kind], sound)

    assert designs.keys(designs.tick(), "design") == [2]


def test_an_object_of_another_batch_is_told_by_its_number_of_rows(designs: Any) -> None:
    first = designs.newest().tables["design"].key_set
    designs.execute(insert(4))
    designs.raw.put(designs.tick().tables["design"].key_set, designs.raw.get(first))
    designs.execute(insert(5))
    assert "it has 3 keys, and the manifest says 4" in refusal(designs)


def test_parquet_of_other_columns_is_no_table_of_ours(designs: Any, beside: dict[str, str]) -> None:
    designs.raw.put(beside["open letters"], designs.raw.get(beside["seen"]))
    assert "it is not Parquet with key, source_xid, batch_seq, reason" in refusal(designs)


def test_open_letters_that_lack_some_are_told_by_their_number(designs: Any, beside: dict[str, str]) -> None:
    designs.execute("UPDATE design SET created_at = 'infinity' WHERE design_id = 3")
    designs.raw.put(designs.tick().tables["design"].dead_letters.open_letters, designs.raw.get(beside["open letters"]))
    designs.execute(rename(2, "Again"))
    assert "it lists 1 rows, and the manifest says 2" in refusal(designs)
