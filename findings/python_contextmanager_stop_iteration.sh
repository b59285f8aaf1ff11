#!/usr/bin/env bash
# A @contextmanager that translates exceptions translates all but StopIteration, which gets through.
#
# Version: Python 3.11.7, 3.12.1 and 3.13.0 (3.6 to 3.10 too).
# Behaviour: a context manager may turn any error of its body into one of the program's own, by
#   "raise ReadError(...) from error". If ReadError is a RuntimeError and the body raised
#   StopIteration, contextlib takes the new error for the one into which Python itself turns a
#   StopIteration that leaves a generator. It discards it and lets the StopIteration go on, though
#   the manager had caught it. In the __next__ of an iterator, that ends the caller's loop early
#   instead of reporting an error. With ReadError a ValueError, it is translated as it should be.
# Seen: KeyError and StopAsyncIteration become ReadError, StopIteration stays. A loop over five
#   images, the third of which has no frame, ends after two without an error.
set -euo pipefail
python3 - <<'PYTHON'
import sys
from contextlib import contextmanager


class ReadError(RuntimeError):
    pass


class OtherError(ValueError):
    pass


@contextmanager
def translated(to):
    try:
        yield
    except Exception as error:
        raise to("cannot read the image") from error


def seen(error, to):
    try:
        with translated(to):
            raise error
    except Exception as outside:
        return type(outside).__name__


class Images:
    """The first frame of each of five images, of which the third has none."""

    def __init__(self, to):
        self.images = iter([["1"], ["2"], [], ["4"], ["5"]])
        self.to = to

    def __iter__(self):
        return self

    def __next__(self):
        frames = iter(next(self.images))
        with translated(self.to):
            return next(frames)


def looped(to):
    try:
        return list(Images(to))
    except to as error:
        return str(error)


errors = (KeyError, StopAsyncIteration, StopIteration)
runtime = {error.__name__: seen(error(), ReadError) for error in errors}
other = {error.__name__: seen(error(), OtherError) for error in errors}
print(f"Python {sys.version.split()[0]}; as a RuntimeError: {runtime}; as a ValueError: {other}")
print(f"loop: {looped(ReadError)} as a RuntimeError, {looped(OtherError)!r} as a ValueError")
assert set(other.values()) == {"OtherError"}
assert runtime["KeyError"] == runtime["StopAsyncIteration"] == "ReadError"
assert runtime["StopIteration"] == "StopIteration", "StopIteration is translated now"
assert looped(ReadError) == ["1", "2"]
PYTHON
