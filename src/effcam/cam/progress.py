"""Progress bars on a terminal and in a notebook."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from tqdm import tqdm

    ShownBar: TypeAlias = tqdm[Any]


class ProgressBar(Protocol):
    """A bar that counts images."""

    def update(self, n: int, /) -> object:
        """Count more images as done."""

    def set_description(self, desc: str, /) -> object:
        """Show a text before the bar."""


class _Silent:
    """Shows nothing.

    A disabled tqdm bar still takes tqdm's lock, and a process forked meanwhile would wait for it
    forever.
    """

    def update(self, n: int, /) -> None: ...
    def set_description(self, desc: str, /) -> None: ...


_watcher: ContextVar[Callable[[int], ProgressBar] | None] = ContextVar("watcher", default=None)


@contextmanager
def watched(start: Callable[[int], ProgressBar]) -> Iterator[None]:
    """Send the progress of comparisons in this context, and thread, to an object of the caller.

    Args:
        start: Returns the object, given the number of images. What its methods raise ends the
            comparison.
    """
    token = _watcher.set(start)
    try:
        yield
    finally:
        _watcher.reset(token)


@contextmanager
def progress_bar(total: int, asked: bool | None = None) -> Iterator[ProgressBar]:
    """Show a bar that counts images, or nothing.

    Args:
        total: How many images there are.
        asked: Whether to show it; ``None`` shows it on a terminal and in a notebook. In the
            context of `watched`, the watcher is told instead.
    """
    start = _watcher.get()
    if start is not None:
        yield start(total)
    elif is_watched() if asked is None else asked:
        with shown_bar(total) as bar:
            yield bar
    else:
        yield _Silent()


def shown_bar(total: int, done: int = 0) -> ShownBar:
    """Return a bar that counts images, on standard error or in a notebook.

    Args:
        total: How many images there are.
        done: How many of them were done before.
    """
    return _tqdm()(total=total, initial=done, unit="image", leave=False)


def say(text: str) -> None:
    """Write a line to standard error, above any bars."""
    _tqdm().write(text, file=sys.stderr)


def _tqdm() -> type[ShownBar]:
    with warnings.catch_warnings():
        # In a notebook without widgets the bar is text, which needs no warning.
        warnings.filterwarnings("ignore", "IProgress not found")
        from tqdm.auto import tqdm
    return tqdm


def is_watched() -> bool:
    """Return whether standard error is a terminal, or this process is a notebook's kernel."""
    return sys.stderr.isatty() or _in_kernel()


def _in_kernel() -> bool:
    # A notebook has already imported IPython; other processes must not import it.
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None
