"""Athena's answer as a table that a person reads."""

from __future__ import annotations

import pytest

from operations.athena import Answer
from operations.cli.query import SHOWN, print_answer


def printed(answer: Answer, capsys: pytest.CaptureFixture[str]) -> list[str]:
    print_answer(answer)
    return [line.rstrip() for line in capsys.readouterr().out.splitlines() if line.strip()]


def test_numbers_stand_to_the_right_and_nulls_are_told_from_empty_text(capsys: pytest.CaptureFixture[str]) -> None:
    columns = [("name", "varchar"), ("amount", "decimal(10,2)")]
    lines = printed(Answer(columns, iter([["O'Keefe", "1.50"], ["", "100.00"], [None, None]])), capsys)
    assert lines[2:] == [" O'Keefe     1.50", "           100.00", " NULL        NULL", "3 rows"]


def test_brackets_in_a_value_are_printed_as_they_stand(capsys: pytest.CaptureFixture[str]) -> None:
    assert " [bold]x" in printed(Answer([("a", "varchar")], iter([["[bold]x"]])), capsys)


def test_an_answer_too_long_to_read_is_cut_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(Answer([("n", "bigint")], ([str(number)] for number in range(SHOWN + 1))), capsys)
    assert len(lines) == SHOWN + 3
    assert lines[-1] == "the first 1000 rows: add a LIMIT or a WHERE"
