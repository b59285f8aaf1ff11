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
OWN_CHOICE = {
    "MALLOC_MMAP_THRESHOLD_": "",
    "MALLOC_TRIM_THRESHOLD_": "",
    "GLIBC_TUNABLES": "glibc.malloc.",
}
"""Variables of the environment by which a user has chosen, and what they then contain."""


@contextmanager
def keeping_memory() -> Iterator[None]:
    """Keep the memory that is freed in this context; it is given back at its end.

    The C library has one setting for the whole process, so that other threads keep memory too. If
    several are in such a context, the last one gives it back. Nothing changes where the C library
    is another one, or where the environment sets these values. Afterwards they are `USUAL`: nobody
    can read what a program has set by ``mallopt`` before, so that it has to set it again.
    """
    _users.enter()
    try:
        yield
    finally:
        _users.leave()


class _Users:
    """Counts the contexts of all threads."""

    def __init__(self) -> None:
        # Garbage is collected anywhere, here too, and may end a context of the same thread.
        self._lock = threading.RLock()
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

    def forget(self) -> None:
        """Start anew in a forked process, which has no other threads: one may have had the lock."""
        inside = self._count > 0
        _Users.__init__(self)
        if inside:
            _set(USUAL)


def _set(values: dict[int, int]) -> None:
    mallopt = _function("mallopt")
    if mallopt is None:
        return
    # glibc up to 2.34 refuses thresholds above the usual largest one. Any value that is set ends
    # its own adjustment, which would leave a small threshold.
    thresholds = (values[MMAP_THRESHOLD], USUAL[MMAP_THRESHOLD])
    if any(mallopt(MMAP_THRESHOLD, each) for each in thresholds):
        mallopt(TRIM_THRESHOLD, values[TRIM_THRESHOLD])


def _give_back() -> None:
    """Return free memory to the system."""
    trim = _function("malloc_trim")
    if trim is not None:
        trim(0)


@cache
def _function(name: str) -> Callable[..., Any] | None:
    """Return a function of glibc, ``None`` where it has no effect or the user has chosen."""
    chosen = ((os.environ.get(name), part) for name, part in OWN_CHOICE.items())
    if any(value and part in value for value, part in chosen):
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
    os.register_at_fork(after_in_child=_users.forget)
