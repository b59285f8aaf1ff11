"""Paths from standard input, where the command line has a ``-`` among its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence

from effcam.errors import ArgumentError, ImageError

STDIN = "-"


def expand_paths(paths: Sequence[str]) -> list[str]:
    """Returns paths with what standard input lists in the place of a ``-`` among them.

    Raises:
        ArgumentError: If there are two, or standard input is a terminal or closed.
        ImageError: If standard input lists nothing.
    """
    if STDIN not in paths:
        return list(paths)
    if paths.count(STDIN) > 1:
        raise ArgumentError("'-' is given twice, but standard input can be read once only")
    at = paths.index(STDIN)
    return [*paths[:at], *_read(), *paths[at + 1 :]]


def _read() -> list[str]:
    example = "find photos -name '*.jpg' | effcam compare -"
    if sys.stdin is None:
        raise ArgumentError("'-' reads paths from standard input, which is closed")
    if sys.stdin.isatty():
        raise ArgumentError(
            "'-' reads paths from standard input, which is this terminal: pipe a list into it, as "
            f"in {example}"
        )
    listed = list(split_paths(sys.stdin.buffer.read()))
    if not listed:
        raise ImageError(f"standard input lists no paths; expected one a line, as from {example}")
    return listed


def split_paths(data: bytes) -> Iterator[str]:
    r"""Yields the paths of a list: one a line, or with NUL after each as ``find -print0`` has it.

    Names come out as the system's own functions have them, be they text or not.

    >>> list(split_paths(b"a.png\r\n\n b.png\n"))
    ['a.png', ' b.png']
    >>> list(split_paths(b"a\nb.png\0c.png\0"))
    ['a\nb.png', 'c.png']
    """
    if b"\0" in data:
        yield from (os.fsdecode(each) for each in data.split(b"\0") if each)
        return
    for line in data.split(b"\n"):
        name = line.removesuffix(b"\r")
        if name.strip():
            yield os.fsdecode(name)
