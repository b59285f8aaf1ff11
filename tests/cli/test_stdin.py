"""Paths from standard input."""

from __future__ import annotations

import io
import os
import pty
import sys

import pytest

from effcam.cli.console import expand_paths, split_paths
from effcam.errors import ArgumentError, ImageError


def test_without_a_dash_standard_input_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert expand_paths(["a", "-b", "c-"]) == ["a", "-b", "c-"]


def test_the_list_stands_where_the_dash_stood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"b\nc\n-\n")))
    assert expand_paths(["a", "-", "d"]) == ["a", "b", "c", "-", "d"]


@pytest.mark.parametrize(
    ("data", "paths"),
    [
        (b"a b\n c \n", ["a b", " c "]),
        (b"a\r\n\r\n\t\nb", ["a", "b"]),
        (b"a\nb\0c\0", ["a\nb", "c"]),
        (b"a\0\0b", ["a", "b"]),
        (b"", []),
    ],
)
def test_lines_and_nul_part_paths(data: bytes, paths: list[str]) -> None:
    assert list(split_paths(data)) == paths


def test_names_that_are_no_text_come_back_as_they_were() -> None:
    (name,) = split_paths(b"caf\xe9\n")
    assert os.fsencode(name) == b"caf\xe9"


def test_what_cannot_be_read_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ArgumentError, match="'-' is given twice"):
        expand_paths(["-", "a", "-"])
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(ArgumentError, match="standard input, which is closed"):
        expand_paths(["-"])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b" \n")))
    with pytest.raises(ImageError, match="standard input lists no paths"):
        expand_paths(["a", "-"])


def test_a_terminal_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        with pytest.raises(ArgumentError, match=r"this terminal: pipe a list into it, as in find"):
            expand_paths(["-"])
        monkeypatch.undo()
    os.close(ours)
