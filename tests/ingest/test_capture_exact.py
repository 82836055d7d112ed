"""What a batch captures, and that it does so once: against a real PostgreSQL with open transactions."""

from __future__ import annotations

from typing import Any

from tests.ingest.designs import insert, prepared, rename, transaction


def test_a_late_commit_is_in_the_next_batch_and_only_there(designs: Any) -> None:
    with transaction(designs.source) as early:
        early.execute(insert(4))
        designs.execute(insert(5))
        assert designs.keys(designs.tick(), "design") == [5]
    assert designs.keys(designs.tick(), "design") == [4]
    assert designs.keys(designs.tick(), "design") == []


def test_a_late_commit_under_a_savepoint_is_in_the_next_batch_and_only_there(designs: Any) -> None:
    with transaction(designs.source) as early:
        early.execute("SAVEPOINT s")
        early.execute(insert(4))
        early.execute("RELEASE s")
        designs.execute(insert(5))
        assert designs.keys(designs.tick(), "design") == [5]
    assert designs.keys(designs.tick(), "design") == [4]
    assert designs.keys(designs.tick(), "design") == []


def test_a_late_commit_from_an_exception_block_is_in_the_next_batch_and_only_there(designs: Any) -> None:
    with transaction(designs.source) as early:
        early.execute(f"DO $$ BEGIN {insert(4)}; EXCEPTION WHEN OTHERS THEN NULL; END $$")
        designs.execute(insert(5))
        assert designs.keys(designs.tick(), "design") == [5]
    assert designs.keys(designs.tick(), "design") == [4]
    assert designs.keys(designs.tick(), "design") == []


def test_a_prepared_transaction_is_read_once_it_is_committed(designs: Any) -> None:
    with prepared(designs.source, "late", insert(4)) as late:
        designs.execute(insert(5))
        assert designs.keys(designs.tick(), "design") == [5]
        late.tpc_commit()
    assert designs.keys(designs.tick(), "design") == [4]
    assert designs.keys(designs.tick(), "design") == []


def test_rows_seen_beside_an_open_transaction_are_not_read_again_however_long_it_stays_open(designs: Any) -> None:
    with transaction(designs.source) as early:
        early.execute(insert(4))
        designs.execute(insert(5, 6))
        assert designs.keys(designs.tick(), "design") == [5, 6]
        assert designs.keys(designs.tick(), "design") == []
        assert designs.keys(designs.tick(full=True), "design") == [1, 2, 3, 5, 6]
        designs.execute(rename(5, "Again"))
        assert designs.keys(designs.tick(), "design") == [5]
    batch = designs.tick()
    assert designs.keys(batch, "design") == [4]
    assert batch.tables["design"].seen is None


def test_an_edit_that_leaves_last_updated_alone_is_captured(designs: Any) -> None:
    designs.execute(rename(2, "Renamed in silence"))
    assert [row["design_name"] for row in designs.rows(designs.tick(), "design")] == ["Renamed in silence"]


def test_rows_that_share_one_last_updated_are_all_captured(designs: Any) -> None:
    designs.execute(insert(4))
    assert designs.keys(designs.tick(), "design") == [4]
    designs.execute(insert(5, 6))
    assert designs.keys(designs.tick(), "design") == [5, 6]


def test_several_updates_between_two_batches_give_the_last_state_once(designs: Any) -> None:
    designs.execute(rename(1, "first"))
    designs.execute(rename(1, "second"), rename(1, "third"))
    assert [row["design_name"] for row in designs.rows(designs.tick(), "design")] == ["third"]


def test_a_rolled_back_change_is_no_change(designs: Any) -> None:
    connection = designs.source.connect()
    with connection.cursor() as cursor:
        cursor.execute(rename(1, "never"))
    connection.rollback()
    connection.close()
    assert designs.keys(designs.tick(), "design") == []


def test_a_delete_makes_the_same_batch_read_the_table_in_full(designs: Any) -> None:
    designs.execute("DELETE FROM design WHERE design_id = 2", insert(4))
    batch = designs.tick(accept_deletes=["design"])
    capture = batch.tables["design"]
    assert (capture.mode, capture.row_count, designs.keys(batch, "design")) == ("full", 3, [1, 3, 4])
    assert designs.tick().tables["design"].mode == "delta"


def test_a_delete_with_nothing_else_is_noticed(designs: Any) -> None:
    designs.execute("DELETE FROM design WHERE design_id = 2")
    batch = designs.tick(accept_deletes=["design"])
    assert (batch.tables["design"].mode, designs.keys(batch, "design")) == ("full", [1, 3])


def test_a_delete_balanced_by_an_insert_is_noticed(designs: Any) -> None:
    designs.execute("DELETE FROM design WHERE design_id = 1", insert(9))
    batch = designs.tick(accept_deletes=["design"])
    assert (batch.tables["design"].mode, designs.keys(batch, "design")) == ("full", [2, 3, 9])


def test_a_changed_key_is_a_delete_and_an_insert(designs: Any) -> None:
    designs.execute("UPDATE design SET design_id = 30 WHERE design_id = 3")
    batch = designs.tick(accept_deletes=["design"])
    assert (batch.tables["design"].mode, designs.keys(batch, "design")) == ("full", [1, 2, 30])


def test_a_row_deleted_and_inserted_again_is_a_new_version(designs: Any) -> None:
    designs.execute("DELETE FROM design WHERE design_id = 2", insert(2))
    batch = designs.tick()
    assert (batch.tables["design"].mode, designs.keys(batch, "design")) == ("delta", [2])


def test_a_table_that_was_emptied_is_work_for_the_next_publish(designs: Any) -> None:
    designs.execute("DELETE FROM design")
    batch = designs.tick(accept_deletes=["design"])
    capture = batch.tables["design"]
    assert (capture.mode, capture.rows, capture.row_count, capture.files) == ("full", 0, 0, ())
    assert batch.has_rows
    assert not designs.tick().has_rows


def test_a_truncated_and_filled_table_is_read_whole(designs: Any) -> None:
    designs.execute("TRUNCATE design CASCADE", insert(7, 8))
    assert designs.keys(designs.tick(accept_deletes=["design"]), "design") == [7, 8]


def test_a_full_read_on_demand_lands_every_row_and_keeps_the_key_set_it_has(designs: Any) -> None:
    before = designs.newest().tables["design"]
    batch = designs.tick(full=True)
    assert designs.keys(batch, "design") == [1, 2, 3]
    assert batch.tables["design"].key_set == before.key_set
    assert batch.tables["design"].full_at == batch.snapshot_at


def test_the_key_set_is_written_only_when_it_changes(designs: Any) -> None:
    first = designs.newest().tables["design"].key_set
    designs.execute(rename(1, "x"))
    assert designs.tick().tables["design"].key_set == first
    designs.execute(insert(4))
    assert designs.tick().tables["design"].key_set != first


def test_a_table_recreated_under_its_name_is_read_in_full(designs: Any) -> None:
    designs.execute(
        "CREATE TABLE new_design (LIKE design INCLUDING ALL)",
        "INSERT INTO new_design SELECT * FROM design",
        "DROP TABLE design CASCADE",
        "ALTER TABLE new_design RENAME TO design",
        "GRANT SELECT ON design TO ingest_reader",
    )
    batch = designs.tick()
    assert (batch.tables["design"].mode, designs.keys(batch, "design")) == ("full", [1, 2, 3])


def test_a_rewritten_table_loses_no_row(designs: Any) -> None:
    designs.execute("ALTER TABLE design ADD COLUMN filler double precision NOT NULL DEFAULT random()", insert(4))
    assert 4 in designs.keys(designs.tick(), "design")
    assert designs.keys(designs.tick(), "design") == []


def test_the_source_transaction_of_each_row_is_kept(designs: Any) -> None:
    designs.execute(insert(4), insert(5))
    designs.execute(insert(6))
    four, five, six = designs.rows(designs.tick(), "design")
    assert four["source_xid"] == five["source_xid"] < six["source_xid"]
    assert {four["batch_seq"], five["batch_seq"], six["batch_seq"]} == {2}
