"""What is kept out can be listed, read, judged again and discarded."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import pytest
from totesys.lake import layout
from totesys.lake.manifests import newest_batch

from operations.dead_letters.letters import rises
from operations.status.gather import dead_letters as dead_letters_in_status
from tests.conftest import Database
from tests.operations.dead_letters.conftest import NO_DATE, SETTLE, Ingested, hold
from tests.support.commands import Ended
from tests.support.glue import SNAPSHOT_AT, Glue

Command = Callable[..., Ended]
OUT_OF_RANGE = "created_at is outside 1990-01-01 to 2100-12-31"
ME = "arn:aws:sts::123456789012:user/moto"
DESIGN_HELD = f"held since {SNAPSHOT_AT}: design.file_name: expected text, found no such column"


def cells(ended: Ended) -> list[list[str]]:
    """The lines of the table that `list` prints, below its heading."""
    rule = next(number for number, line in enumerate(ended.out) if "──" in line)
    return [
        [cell.strip() for cell in line.split("  ") if cell.strip()]
        for line in ended.out[rule + 1 :]
        if line.strip() and "  " in line.strip()
    ]


def test_nothing_that_is_kept_out_is_said_in_words(ingested: Ingested, loaded: Database, deadletters: Command) -> None:
    ingested.batch()
    assert deadletters("list") == Ended(0, ["nothing is kept out"], "")


def test_holds_letters_and_waiting_rows_are_listed_with_what_settles_them(
    ingested: Ingested, loaded: Database, deadletters: Command
) -> None:
    ingested.batch(4, 5)
    ingested.batch(6, reason=OUT_OF_RANGE, held=hold(0))
    ingested.batch(held=hold(2), designs=(1, 2))
    with closing(loaded.connect()) as connection, connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO etl.waiting_sales_order (sales_order_id, batch_seq, waits_for, went_in_after)"
            " VALUES (7, 2, '{dim_design,dim_staff}', NULL), (7, 3, '{}', NULL), (8, 1, '{dim_design}', 5)"
        )
    ended = deadletters("list")
    put_right = "correct them at the source: scripts/totesys deadletters show payment"
    assert cells(ended) == [
        ["design", f"{DESIGN_HELD}; 2 rows in the dead letter", "2", SETTLE],
        ["payment", f"1 row: {OUT_OF_RANGE}", "2", put_right],
        ["payment", f"2 rows: {NO_DATE}", "1", put_right],
        [
            "sales_order",
            "2 rows wait in the warehouse for design, staff, department",
            "2",
            "nothing: they are loaded once their parents are there",
        ],
    ]
    assert (ended.code, ended.err) == (0, "")


def test_lists_and_letters_can_be_had_as_json(ingested: Ingested, loaded: Database, deadletters: Command) -> None:
    ingested.batch(4, 5)
    deadletters("discard", "payment", "--key", "5", "--reason", "a test row")
    listed = deadletters("list", "--json").json
    line = {
        "table": "payment", "what": f"1 row: {NO_DATE}", "since_batch": 1,
        "cure": "correct them at the source: scripts/totesys deadletters show payment",
    }  # fmt: skip
    assert listed == {"kept_out": [line], "discarded": {"payment": 1}}
    shown = deadletters("show", "payment", "--json").json
    assert [(letter["key"], letter["row"]["payment_id"]) for letter in shown["letters"]] == [(4, 4)]
    assert (shown["letters"][0]["address"], shown["more"]) == (f"s3://ingestion/{ingested.written(1)}", 0)


def test_a_warehouse_that_cannot_be_asked_does_not_hide_the_rest(ingested: Ingested, loaded: Database, deadletters: Command) -> None:
    ingested.batch(4)
    with closing(loaded.connect()) as connection, connection, connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA etl CASCADE")
    ended = deadletters("list")
    assert [line[:2] for line in cells(ended)] == [["payment", f"1 row: {NO_DATE}"]]
    assert ended.code == 1
    assert 'relation "etl.waiting_' in ended.err and "run scripts/totesys run first" in ended.err


def test_the_open_letters_are_shown_as_they_were_written(ingested: Ingested, deadletters: Command) -> None:
    ingested.batch(4, 5)
    ingested.batch(5, good=[4], reason=OUT_OF_RANGE)
    ended = deadletters("show", "payment")
    assert "\n".join(ended.out) == "\n".join([
        f"payment 5: {OUT_OF_RANGE}",
        f"  batch 2, {SNAPSHOT_AT}, contract version 1",
        *'  {"payment_id": 5, "note": "[b]ü\u20282"}'.splitlines(),
    ])  # fmt: skip


def test_a_long_value_is_shortened_in_its_middle_and_the_object_that_has_it_in_full_is_named(
    ingested: Ingested, deadletters: Command
) -> None:
    ingested.batch(4)
    ingested.rewrite(1, {"row": {"payment_id": 4, "note": "ü" * 100_000, "tags": ["a" * 300], "paid": False}})
    shown = deadletters("show", "payment").out
    assert shown[2:] == [
        f'  {{"payment_id": 4, "note": "{60 * "ü"} ... 100,000 characters ... {60 * "ü"}",'
        f' "tags": "[\\"{58 * "a"} ... 304 characters ... {58 * "a"}\\"]", "paid": false}}',
        f"  in full: s3://ingestion/{ingested.written(1)}",
    ]


def test_a_number_is_shown_with_every_digit(ingested: Ingested, deadletters: Command) -> None:
    ingested.batch(4)
    written = ingested.lake.ingestion.get(ingested.written(1)).replace(
        b'"payment_id": 4', b'"payment_id": 4, "rate": 9007199254740993.12345678901'
    )
    ingested.lake.ingestion.put(ingested.written(1), written)
    assert "9007199254740993.12345678901" in deadletters("show", "payment").out[2]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "its lines are not JSON"),
        (b'{"key": 4, "rea', "its lines are not JSON"),
        (b"\xff\xd8\xff", "its lines are not JSON"),
        (b"[4]", "it is JSON, but not an object"),
        (b'{"format": 1, "key": 4}', "a line lacks batch_seq, contract_version, reason, row, snapshot_at"),
    ],
    ids=["empty", "truncated", "binary", "a list", "too few fields"],
)
def test_letters_that_cannot_be_read_are_named_with_what_restores_them(
    ingested: Ingested, deadletters: Command, body: bytes, reason: str
) -> None:
    ingested.batch(4)
    ingested.lake.ingestion.put(ingested.written(1), body)
    ended = deadletters("show", "payment")
    assert ended.code == 2
    assert ended.err.startswith(f"deadletters: could not start: s3://ingestion/{ingested.written(1)} cannot be read: {reason}. Restore")
    assert ended.err.count("\n") == 1


def test_objects_of_others_among_the_letters_are_passed_over(ingested: Ingested, loaded: Database, deadletters: Command) -> None:
    ingested.batch(4)
    for name in (
        "dead_letter/",
        "dead_letter/payment/discarded/",
        "dead_letter/payment/discarded/.DS_Store",
        "dead_letter/payment/notes.txt",
    ):
        ingested.lake.ingestion.put(name, b"")
    assert len([line for line in deadletters("list").out if "1 row" in line]) == 1
    assert deadletters("show", "payment").code == 0


def test_a_damaged_word_about_a_letter_is_named(ingested: Ingested, deadletters: Command) -> None:
    ingested.batch(4)
    ingested.lake.ingestion.put("dead_letter/payment/discarded/0000000001-4.json", b'{"format": 1}')
    ended = deadletters("discard", "payment", "--key", "4", "--reason", "a test row")
    assert ended.code == 2
    assert "s3://ingestion/dead_letter/payment/discarded/0000000001-4.json cannot be read: it lacks discarded_by. Restore" in ended.err


def test_of_a_held_table_the_rows_are_shown_that_came_since_it_is_held(ingested: Ingested, deadletters: Command) -> None:
    ingested.batch(held=hold(1, since="2026-03-01T08:00:00+00:00"), designs=[1])
    ingested.batch()
    for _ in range(3):
        ingested.batch(held=hold(0))
    ingested.batch(held=hold(2), designs=[2, 3])
    ingested.batch(held=hold(2))
    ingested.batch(held=hold(3), designs=[4])
    shown = [line.split(":")[0] for line in deadletters("show", "design").out if line.startswith("design")]
    assert shown == ["design 2", "design 3", "design 4"]


def test_a_row_is_shown_by_its_key_and_others_are_not(ingested: Ingested, deadletters: Command) -> None:
    ingested.batch(4, 5)
    assert deadletters("show", "payment", "--key", "5").out[0] == f"payment 5: {NO_DATE}"
    assert deadletters("show", "payment", "--key", "6").out == ["no row of payment with key 6 is in the dead letter now"]


def test_no_more_rows_are_shown_than_wanted_and_the_rest_is_counted(ingested: Ingested, deadletters: Command) -> None:
    ingested.batch(4, 5, 6)
    ended = deadletters("show", "payment", "--limit", "2")
    assert [line for line in ended.out if "payment " in line] == [f"payment 4: {NO_DATE}", f"payment 5: {NO_DATE}"]
    assert ended.out[-1] == "1 row more: --limit 3"


def test_a_replay_is_one_run_that_says_what_became_of_the_letters(ingested: Ingested, glue: Glue, deadletters: Command) -> None:
    ingested.batch(4, 5)
    ingested.lake.load(1)
    glue.on_ingest = [lambda: (ingested.batch(good=[4]), glue.publishes(through=2))]
    ended = deadletters("replay", "payment")
    assert glue.started_with == [{"format": "1", "replay": "payment"}]
    assert ended.out[-2:] == [
        "loaded batch 2: 3 rows read, 3 warehouse rows new or changed",
        "payment: 1 row of 2 out of the dead letter, 1 in it now",
    ]
    assert (ended.code, ended.err) == (0, "")


def test_a_replay_that_fails_ends_with_1_and_the_jobs_error(ingested: Ingested, glue: Glue, deadletters: Command) -> None:
    ingested.batch(4)
    ingested.lake.load(1)
    glue.on_ingest = [lambda: (ingested.batch(good=[4]), glue.add("p-publish", jobs={"load": "FAILED"}, error="FatalError: it went wrong"))]
    ended = deadletters("replay", "payment")
    assert (ended.code, ended.err) == (1, "deadletters: failed: load FAILED: FatalError: it went wrong\n")


def test_a_table_that_drift_holds_is_not_read_again_before_that_is_settled(ingested: Ingested, glue: Glue, deadletters: Command) -> None:
    ingested.batch(held=hold(1), designs=[1])
    ended = deadletters("replay", "design")
    assert (ended.code, ended.err) == (2, f"deadletters: could not start: design is held, and that must be settled first: {SETTLE}\n")
    assert glue.started_with == []


def test_without_an_open_letter_nothing_is_read_again(ingested: Ingested, glue: Glue, deadletters: Command) -> None:
    ingested.batch()
    assert deadletters("replay", "payment") == Ended(0, ["no dead letter of payment is open: nothing to read again"], "")
    assert glue.started_with == []


def test_a_discarded_letter_leaves_a_trace_and_is_counted_apart(ingested: Ingested, loaded: Database, deadletters: Command) -> None:
    ingested.batch(4, 5)
    ended = deadletters("discard", "payment", "--key", "4", "--reason", " a test row ")
    trace = ingested.lake.ingestion.get_json(layout.discarded_key("payment", 1, 4))
    at = trace.pop("discarded_at")
    assert trace == {
        "format": 1, "table": "payment", "key": 4, "batch_seq": 1, "letter_reason": NO_DATE, "discarded_by": ME, "reason": "a test row",
    }  # fmt: skip
    assert ended == Ended(0, [f"payment 4 is discarded by {ME} at {at}: a test row"], "")
    listed = deadletters("list")
    assert [line[1] for line in cells(listed)] == [f"1 row: {NO_DATE}"]
    assert listed.out[-1] == "discarded, and still not in: 1 of payment"
    assert [line for line in deadletters("show", "payment").out if line.startswith("payment")] == [f"payment 5: {NO_DATE}"]


def test_a_discarded_letter_needs_nobody_any_more(ingested: Ingested, deadletters: Command) -> None:
    ingestion = ingested.lake.ingestion

    def discard(key: int) -> dict[str, int]:
        """What the status counts after it."""
        deadletters("discard", "payment", "--key", str(key), "--reason", "a test row")
        return dead_letters_in_status(ingestion, newest_batch(ingestion))

    ingested.batch(4, 5)
    assert discard(4) == {"payment": 1}
    ingested.batch()
    assert discard(5) == {}


def test_the_first_word_about_a_letter_stands(ingested: Ingested, deadletters: Command) -> None:
    ingested.batch(4)
    (first,) = deadletters("discard", "payment", "--key", "4", "--reason", "a test row").out
    (second,) = deadletters("discard", "payment", "--key", "4", "--reason", "something else").out
    assert second == first.replace("is discarded by", "is discarded already by")


def test_a_newer_bad_version_of_a_discarded_row_is_open(ingested: Ingested, loaded: Database, deadletters: Command) -> None:
    ingested.batch(4)
    deadletters("discard", "payment", "--key", "4", "--reason", "a test row")
    ingested.batch(4)
    listed = deadletters("list")
    assert [line[1:3] for line in cells(listed)] == [[f"1 row: {NO_DATE}", "2"]]
    assert not [line for line in listed.out if "discarded" in line]


def test_only_an_open_letter_can_be_discarded(ingested: Ingested, deadletters: Command) -> None:
    ingested.batch(4)
    reason = (
        "deadletters: could not start: payment 5 is no open dead letter: scripts/totesys deadletters show payment lists those that are\n"
    )
    assert deadletters("discard", "payment", "--key", "5", "--reason", "a test row") == Ended(2, [], reason)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["discard", "payment", "--key", "4", "--reason", " "], "it says nothing"),
        (["discard", "payment", "--key", "4"], "Missing option '--reason'"),
        (["show", "payment", "--limit", "0"], "0 is not in the range x>=1"),
        (["replay", "fact_payment"], "'fact_payment' is not one of 'address',"),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused(deadletters: Command, options: list[str], reason: str) -> None:
    ended = deadletters(*options)
    assert ended.code == 2
    assert reason in ended.err


def test_before_the_first_batch_there_is_nothing_to_look_at(deadletters: Command, ingested: Ingested) -> None:
    assert deadletters("list") == Ended(2, [], "deadletters: could not start: no batch has landed yet: run scripts/totesys run\n")


def test_few_batches_are_looked_at_to_find_those_of_a_long_hold() -> None:
    asked: set[int] = set()

    def count(seq: int) -> int:
        asked.add(seq)
        return (seq >= 7000) + (seq >= 90_001)

    assert list(rises(count, 0, 100_000)) == [7000, 90_001]
    assert len(asked) < 50
