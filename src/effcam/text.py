"""Tables as plain text."""

from __future__ import annotations

import sys
from collections.abc import Sequence

GAP = "  "


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
