"""Somebody else's module, used by one thread at a time and given back as it was found."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from torch import nn

Contents: TypeAlias = tuple[dict[str, Any], dict[str, dict[Any, Any]]]

TABLES = ("_parameters", "_buffers", "_modules")
HOOKS = (
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
)


@contextmanager
def untouched(module: nn.Module) -> Iterator[None]:
    """Freeze a module for the time being, and brings it back as it was, whatever happens.

    What comes back: training modes, ``requires_grad``, every attribute that was set or replaced,
    hooks, and the values of buffers. ``.grad`` is for who borrows it to leave alone, and random
    numbers are `effcam.models.tracing.rng.OwnDraws`'s. Threads that borrow one module, or modules
    that share some part, take turns; a thread may borrow again what it has.
    """
    import torch

    with in_turn(module.modules()), in_turn((*module.parameters(), *module.buffers())):
        found = {each: _contents(each) for each in module.modules()}
        wanted = {each: each.requires_grad for each in module.parameters()}
        buffers = [(each, each.detach().clone(), each._version) for each in module.buffers()]
        try:
            module.requires_grad_(False)
            yield
        finally:
            for each, contents in found.items():
                _put_back(each, contents)
            for parameter, requires_grad in wanted.items():
                parameter.requires_grad_(requires_grad)
            with torch.no_grad():
                for buffer, value, version in buffers:
                    # Writing to a buffer would break a graph of the caller's that holds it.
                    if buffer._version != version:
                        buffer.copy_(value)


@contextmanager
def in_turn(things: Iterable[object]) -> Iterator[None]:
    """Wait until no other thread has any of these things, and then has them for its context.

    >>> with in_turn(["mine"]), in_turn(["mine"]):
    ...     pass
    """
    # Kept, so that no other thing comes to have the id of one of them.
    kept = tuple(things)
    taken = _turns.take({id(each) for each in kept})
    try:
        yield
    finally:
        _turns.give_back(taken)


class _Turns:
    """Which thread has what, by id."""

    def __init__(self) -> None:
        self._owners: dict[int, int] = {}
        self._changed = threading.Condition()

    def take(self, wanted: set[int]) -> set[int]:
        """Return what this thread did not have yet, as soon as it has all that it wants."""
        own = threading.get_ident()
        with self._changed:
            self._changed.wait_for(lambda: all(self._owners.get(i, own) == own for i in wanted))
            taken = wanted - self._owners.keys()
            self._owners.update(dict.fromkeys(taken, own))
        return taken

    def give_back(self, taken: set[int]) -> None:
        """Let other threads have what this one took."""
        with self._changed:
            for each in taken:
                del self._owners[each]
            self._changed.notify_all()

    def forget_others(self) -> None:
        """Free what other threads have: a forked process has none of them to give it back."""
        own = threading.get_ident()
        self._owners = {each: owner for each, owner in self._owners.items() if owner == own}
        # One of them may have been just about to take or to give something back.
        self._changed = threading.Condition()


_turns = _Turns()
if hasattr(os, "register_at_fork"):  # where processes can be forked
    os.register_at_fork(after_in_child=_turns.forget_others)


def _contents(module: nn.Module) -> Contents:
    """Return shallow copies of a module's attributes, and of its tables and hooks."""
    attributes = dict(module.__dict__)
    return attributes, {name: dict(attributes[name]) for name in (*TABLES, *HOOKS)}


def _put_back(module: nn.Module, contents: Contents) -> None:
    attributes, tables = contents
    for name, table in tables.items():
        _restore(attributes[name], table)
    _restore(module.__dict__, attributes)


def _restore(table: dict[Any, Any], contents: dict[Any, Any]) -> None:
    """Make a table what it was; one that did not change is not for a moment anything else.

    A thread that waits for its turn may be reading it.
    """
    for key in table.keys() - contents.keys():
        del table[key]
    if list(table) != list(contents):
        table.clear()
    table.update(contents)
