"""Keep freed memory for the next batch, on systems whose C library gives it back each time.

glibc returns large blocks to the system as soon as they are freed, and the system fills each new
page with zeros when it is touched again. For the activations of a network this takes a fifth to a
half of the time of a pass.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1
"""Parameters of glibc's ``mallopt``."""
KEPT = {MMAP_THRESHOLD: 2**30, TRIM_THRESHOLD: 2**31 - 1}
"""From how many bytes on a block is a mapping of its own, and how many free bytes are kept."""
USUAL = {MMAP_THRESHOLD: 2**25, TRIM_THRESHOLD: 2**26}
"""The largest values that glibc takes by itself, and does once blocks of 32 MiB were freed."""
OWN_CHOICE = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")
"""Variables of the environment by which a user has chosen."""


@contextmanager
def keeping_memory() -> Iterator[None]:
    """Keep the memory that is freed in this context; it is given back at its end.

    The C library has one setting for the whole process, so that other threads keep memory too. If
    several are in such a context, the last one gives it back. Nothing changes where the C library
    is another one, or where the environment sets these values.
    """
    _users.enter()
    try:
        yield
    finally:
        _users.leave()


class _Users:
    """Counts the contexts of all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    def enter(self) -> None:
        with self._lock:
            self._count += 1
            if self._count == 1:
                _set(KEPT)

    def leave(self) -> None:
        with self._lock:
            self._count -= 1
            if self._count <= 0:  # it is -1 in a process forked inside a context
                self._count = 0
                _set(USUAL)
                _give_back()


def _set(values: dict[int, int]) -> None:
    mallopt = _function("mallopt")
    if mallopt is not None:
        for parameter, value in values.items():
            mallopt(parameter, value)


def _give_back() -> None:
    """Return free memory to the system."""
    trim = _function("malloc_trim")
    if trim is not None:
        trim(0)


@cache
def _function(name: str) -> Callable[..., Any] | None:
    """Return a function of glibc, ``None`` where it has no effect or the user has chosen."""
    if any(os.environ.get(each) for each in OWN_CHOICE):
        return None
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018  # other C libraries have none
        found: Callable[..., Any] = getattr(library, name)
    except (OSError, AttributeError, TypeError):  # what other systems raise
        return None
    return found


_users = _Users()

if hasattr(os, "register_at_fork"):  # not on Windows
    # A forked process does not have the other threads, and their lock may be taken.
    os.register_at_fork(after_in_child=_users.__init__)  # type: ignore[misc]
