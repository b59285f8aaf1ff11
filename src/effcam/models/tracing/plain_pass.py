"""Run networks step by step: uncompiled, and without gradient checkpointing.

Hooks do not run in compiled code. A checkpointed block runs again in the backward pass, where a
graph that a hook began inside it is not the same; and reentrant checkpointing records no graph
inside the block at all.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch.utils import checkpoint

DYNAMO = "torch._dynamo"
"""The module without which nothing is compiled; importing it takes seconds."""


@contextmanager
def plain_pass() -> Iterator[None]:
    """Run what this thread calls in the context uncompiled and without checkpointing.

    Functions that are compiled run without compilation in other threads too, since torch has one
    setting for all; their results are the same.

    >>> block = torch.nn.Linear(2, 3)
    >>> with plain_pass():
    ...     output = checkpoint.checkpoint(block, torch.ones(1, 2), use_reentrant=True)
    >>> output.grad_fn.name()
    'AddmmBackward0'
    """
    _here.depth = _depth() + 1
    _changes.enter()
    try:
        yield
    finally:
        _changes.leave()
        _here.depth -= 1


_here = threading.local()


def _depth() -> int:
    """Return how many such contexts this thread is in."""
    return getattr(_here, "depth", 0)


class _Changes:
    """Changes of torch that are made by the first thread to enter, and undone by the last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._stance: Any = None
        self._kept: dict[str, Any] = {}

    def enter(self) -> None:
        """Make the changes, unless another thread has."""
        with self._lock:
            self._users += 1
            if self._stance is None and DYNAMO in sys.modules:
                self._stance = torch.compiler.set_stance("force_eager")
            if not self._kept:
                self._kept = {name: getattr(checkpoint, name) for name in REPLACEMENTS}
                for name, replace in REPLACEMENTS.items():
                    setattr(checkpoint, name, replace(self._kept[name]))

    def leave(self) -> None:
        """Undo the changes, unless another thread needs them."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._undo()

    def forget_other_threads(self) -> None:
        """Undo what other threads changed: a forked process does not have them."""
        self._lock = threading.Lock()
        self._users = _depth()
        if self._users == 0:
            self._undo()

    def _undo(self) -> None:
        for name, kept in self._kept.items():
            setattr(checkpoint, name, kept)
        self._kept = {}
        if self._stance is not None:
            self._stance.__exit__(None, None, None)
            self._stance = None


def _replace_reentrant(kept: type[checkpoint.CheckpointFunction]) -> type:
    class Plain(kept):  # type: ignore[misc, valid-type]
        """Runs a block without checkpointing in a plain pass."""

        @classmethod
        def apply(cls, function: Callable[..., object], *args: object) -> object:
            """Return what the block returns; the first further argument is no input of it."""
            return function(*args[1:]) if _depth() else kept.apply(function, *args)

    return Plain


def _replace_hook(
    kept: Callable[[object], AbstractContextManager[object]],
) -> Callable[[object], AbstractContextManager[object]]:
    def record(frame: object) -> AbstractContextManager[object]:
        return nullcontext() if _depth() else kept(frame)

    return record


REPLACEMENTS: dict[str, Callable[[Any], Any]] = {
    # What checkpointing uses, reentrant or not. Networks refer to `checkpoint` itself directly.
    "CheckpointFunction": _replace_reentrant,
    "_checkpoint_hook": _replace_hook,
}

_changes = _Changes()

if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_changes.forget_other_threads)
