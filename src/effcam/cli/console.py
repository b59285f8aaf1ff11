"""Input and output of the command line: results on stdout, everything else on stderr."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO

from effcam import __version__
from effcam.errors import ArgumentError, EffcamWarning, ImageError, OutputError
from effcam.text import align, json_value, printable

BOLD, RED = "1", "31"


def is_coloured(stream: TextIO | None) -> bool:
    """Return whether a stream is a terminal that shows colours.

    NO_COLOR with any value (https://no-color.org) and ``TERM=dumb`` turn colours off.
    """
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    # The old console of Windows prints the codes; Windows Terminal sets a variable.
    capable = os.name != "nt" or "WT_SESSION" in os.environ
    return wanted and capable and stream is not None and stream.isatty()


def paint(text: str, style: str, stream: TextIO | None) -> str:
    """Return a text in a style, `BOLD` or `RED`, if the stream shows colours."""
    return f"\x1b[{style}m{text}\x1b[0m" if is_coloured(stream) else text


def echo(text: str) -> None:
    """Print one or more lines on standard output.

    Raises:
        OutputError: If it cannot be written, as on a full disk.
        BrokenPipeError: If the reader of a pipe has gone.
    """
    _out(printable(text))


def echo_table(rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> None:
    """Print rows as aligned columns, the first row as headings.

    Args:
        rows: The cells, the same number in each row.
        right: The columns that are aligned to the right, from 0.

    Raises:
        OutputError: As `echo`.
    """
    heading, *lines = printable(align(rows, right=right)).split("\n")
    _out("\n".join([paint(heading, BOLD, sys.stdout), *lines]))


def echo_json(command: str, content: Mapping[str, object]) -> None:
    """Print the results of a command as one JSON document, effcam's version and the command first.

    The document is plain ASCII, which every terminal, pipe and parser accepts, and file names whose
    bytes are not valid text can be restored from it.

    Raises:
        OutputError: As `echo`.
    """
    document = {"effcam": __version__, "command": command, **content}
    _out(json.dumps(json_value(document), indent=1, allow_nan=False))


@contextlib.contextmanager
def reserve_stdout(asked: bool) -> Iterator[None]:
    """Redirect prints within the block, those of models too, to standard error if asked.

    Standard output then contains only the document.
    """
    with contextlib.redirect_stdout(sys.stderr) if asked else contextlib.nullcontext():
        yield


def note(text: str) -> None:
    """Print a note on standard error, as a line that begins with ``effcam:``."""
    print(f"effcam: {_line(text)}", file=sys.stderr)


@contextlib.contextmanager
def own_warnings(*, quiet: bool, others: bool = False) -> Iterator[None]:
    """Print effcam's own warnings within the block as notes, and no others.

    Those between libraries are hidden, since users cannot act on them.

    Args:
        quiet: Whether to hide effcam's own too.
        others: Whether to show all warnings, as Python does.
    """
    with warnings.catch_warnings():
        if not others:
            warnings.simplefilter("ignore")
            if not quiet:
                warnings.simplefilter("default", EffcamWarning)
        show = warnings.showwarning

        def print_note(
            message: Warning | str, category: type[Warning], *place: Any, **more: Any
        ) -> None:
            if issubclass(category, EffcamWarning):
                note(f"note: {message}")
            else:
                show(message, category, *place, **more)

        warnings.showwarning = print_note
        yield


def print_error(text: str) -> None:
    """Print an error on standard error, as one line."""
    head = paint("effcam: error:", RED, sys.stderr)
    print(f"{head} {_line(text)}", file=sys.stderr)


def flush() -> None:
    """Flush standard output.

    Raises:
        OutputError: As `echo`.
        BrokenPipeError: As `echo`.
    """
    if sys.stdout is not None:
        with _writing():
            sys.stdout.flush()


def discard_output() -> None:
    """Discard the rest of standard output, after a write has failed.

    Otherwise the interpreter would try again at exit, and print its own error.
    """
    with contextlib.suppress(OSError, ValueError):  # no file below, as in tests
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _out(text: str) -> None:
    with _writing():
        print(text)


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        discard_output()
        raise OutputError(f"standard output cannot be written: {error.strerror}") from error


def _line(text: str) -> str:
    return printable(" ".join(text.split()), sys.stderr)


STDIN = "-"


def expand_paths(paths: Sequence[str]) -> list[str]:
    """Return paths, with a ``-`` among them replaced by the list on standard input.

    Raises:
        ArgumentError: If there are two ``-``, or standard input is a terminal or closed.
        ImageError: If the list is empty.
    """
    if STDIN not in paths:
        return list(paths)
    if paths.count(STDIN) > 1:
        raise ArgumentError("'-' is given twice, but standard input can be read only once")
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
        raise ImageError(
            f"standard input lists no paths; expected one path per line, as from {example}"
        )
    return listed


def split_paths(data: bytes) -> Iterator[str]:
    r"""Yield the paths of a list: one per line, or each followed by NUL, as from ``find -print0``.

    Bytes that are not valid text are decoded as the functions of `os` do.

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
