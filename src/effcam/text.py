"""Format text: tables, counts, sort keys, untrusted texts for messages, and values for JSON."""

from __future__ import annotations

import math
import os
import re
import reprlib
import sys
from collections.abc import Mapping, Sequence
from typing import TextIO
from unicodedata import category

GAP = "  "
LONGEST = 200
"""How many characters of a file's content a message shows."""


def align(rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Return rows as lines with aligned columns.

    Args:
        rows: The cells, the same number in each row.
        right: The columns that are aligned to the right, from 0.

    >>> print(align([("name", "px"), ("a", "5"), ("bc", "224")], right=[1]))
    name   px
    a       5
    bc    224
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        GAP.join(
            cell.rjust(width) if at in right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def count(number: int, name: str) -> str:
    """Return a number of things, with its noun in the singular or plural.

    >>> count(1, "image"), count(2000, "image")
    ('1 image', '2,000 images')
    """
    return f"{number:,} {name}" + ("" if number == 1 else "s")


def listed(names: Sequence[str], most: int = 6) -> str:
    """Return names as a list that is shortened in its middle.

    >>> listed(["a", "b", "c", "d", "e"], most=3)
    'a, b, ..., e'
    """
    shown = [one_line(name) for name in names[: most - 1]]
    if len(names) > most:
        shown.append("...")
    return ", ".join([*shown, *(one_line(name) for name in names[most - 1 :][-1:])])


def json_value(value: object) -> object:
    """Return a value that JSON can represent: ``None`` for NaN and infinity, text for paths.

    >>> json_value({"a": [1.0, float("nan")]})
    {'a': [1.0, None]}
    """
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): json_value(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(each) for each in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def natural_key(text: str) -> list[tuple[int, str]]:
    """Return a sort key that orders numbers within texts by value, and ignores case.

    >>> sorted(["resnet101", "resnet18"], key=natural_key)
    ['resnet18', 'resnet101']
    """
    pieces = re.split(r"(\d+)", text.casefold())
    return [(int(piece), "") if piece.isdecimal() else (-1, piece) for piece in pieces]


def printable(text: str, stream: TextIO | None = None) -> str:
    r"""Escape the characters of a text that a stream cannot encode, or that control a terminal.

    Args:
        text: The text to print, with names of files, for example.
        stream: The stream; ``None`` is standard output.

    >>> print(printable("a\x1b[31mb"))
    a\x1b[31mb
    """
    # A process may have been started without standard output.
    encoding = getattr(stream or sys.stdout, "encoding", None) or "utf-8"
    controls = {each for each in text if category(each) == "Cc"} - {"\n", "\t"}
    shown = "".join(_escape(each) if each in controls else each for each in text)
    return shown.encode(encoding, "backslashreplace").decode(encoding)


def one_line(text: str) -> str:
    """Return a text for a message: on one line, and shortened if it is long."""
    shown = "".join(each if each.isprintable() else _escape(each) for each in text[:LONGEST])
    return shown if len(text) <= LONGEST else f"{shown}..."


def quote(value: object) -> str:
    """Return the repr of a value for a message, shortened if it is long."""
    text = repr(value) if isinstance(value, str) else reprlib.repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _escape(character: str) -> str:
    return ascii(character)[1:-1]
