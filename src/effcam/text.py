"""Tables as plain text."""

from __future__ import annotations

import sys
from collections.abc import Sequence

GAP = "  "
LONGEST = 200
"""How much of what comes out of a file a message shows, in characters."""


def align(rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Returns rows as lines whose columns are aligned.

    Args:
        rows: The cells; all rows have as many.
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


def printable(text: str) -> str:
    """Returns a text as standard output takes it, which may not know all characters of a name."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def one_line(text: str) -> str:
    """Returns a text for a message on one line, cut off where it is long."""
    shown = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text[:LONGEST])
    return shown if len(text) <= LONGEST else f"{shown}..."
