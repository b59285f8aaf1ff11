"""Tables as plain text."""

from __future__ import annotations

import pytest

from effcam.text import align, count, natural_key

ROWS = [("name", "px"), ("a", "5"), ("bc", "224")]


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert align(ROWS).splitlines() == ["name  px", "a     5", "bc    224"]


def test_columns_are_aligned_to_the_right_on_demand() -> None:
    assert align(ROWS, right=[1]).splitlines() == ["name   px", "a       5", "bc    224"]
    assert align(ROWS, right=[0, 1]).splitlines() == ["name   px", "   a    5", "  bc  224"]


def test_lines_end_with_their_last_character() -> None:
    assert align([("a", ""), ("bcd", "x"), ("", "")]) == "a\nbcd  x\n"


def test_any_sequence_of_sequences_is_a_table() -> None:
    assert align((["a", "b"], ["cc", "d"])) == "a   b\ncc  d"
    assert align([("alone",)]) == "alone"
    assert align([]) == ""


def test_all_rows_have_as_many_cells() -> None:
    with pytest.raises(ValueError, match="shorter"):
        align([("a", "b"), ("c",)])


def test_numbers_are_counted_and_sorted_by_value() -> None:
    assert [count(number, "row") for number in (0, 1, 2, 1000)] == [
        "0 rows", "1 row", "2 rows", "1,000 rows",
    ]  # fmt: skip
    names = ["b2", "B10", "b1.x", "a", "b", "10", "9"]
    assert sorted(names, key=natural_key) == ["9", "10", "a", "b", "b1.x", "b2", "B10"]
