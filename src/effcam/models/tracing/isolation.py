"""Use a module of the caller, and leave it unchanged."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from torch import nn

State: TypeAlias = tuple[dict[str, Any], dict[str, dict[Any, Any]]]

TABLES = (
    "_parameters",
    "_buffers",
    "_modules",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
)


@contextmanager
def untouched(module: nn.Module) -> Iterator[None]:
    """Freeze a module within the context, and restore it afterwards, also after an exception.

    Restored are training modes, ``requires_grad``, attributes, hooks, and the values of buffers.
    Do not change ``.grad`` within the context. Random numbers are the job of
    `effcam.models.tracing.rng.IsolatedRandomness`.

    Parts that were compiled (``module.compile()``, ``torch.compile(module)``) run uncompiled
    within the context, since hooks do not run in compiled code. Those that accelerate prepared for
    mixed precision run without it. Exported modules, which refuse to
    change their training mode, let it be changed.

    Threads that use one module, or modules that share a part, wait for each other; a thread may
    enter again for what it has.
    """
    import torch

    with exclusive([*module.modules(), *module.parameters(), *module.buffers()]):
        states = {each: _copy_state(each) for each in module.modules()}
        # Frozen TorchScript has no mode.
        scripts = [each for each in states if is_script(each) and hasattr(each, "training")]
        modes = {each: each.training for each in scripts}
        # A copy of TorchScript has parameters that are no leaves, and these cannot be frozen.
        frozen = {each: each.requires_grad for each in module.parameters() if each.is_leaf}
        buffers = [(each, each.detach().clone(), each._version) for each in module.buffers()]
        try:
            for each in states:
                _set_compilation_aside(each)
            for parameter in frozen:
                parameter.requires_grad_(False)
            yield
        finally:
            for each, (attributes, tables) in states.items():
                for name, table in tables.items():
                    _restore(attributes[name], table)
                _restore(each.__dict__, attributes)
            for script, training in modes.items():
                script.training = training
            for parameter, requires_grad in frozen.items():
                parameter.requires_grad_(requires_grad)
            with torch.no_grad():
                for buffer, value, version in buffers:
                    # Writing to a buffer would break a graph of the caller's that holds it.
                    if buffer._version != version:
                        buffer.copy_(value)


_owners: dict[int, int] = {}
"""The thread that uses an object, by the ids of both."""
_changed = threading.Condition()


@contextmanager
def exclusive(objects: Iterable[object]) -> Iterator[None]:
    """Wait until no other thread uses any of these objects, and keep others out of the context.

    All objects are taken at once, so that two threads never wait for each other. A thread may
    enter again for what it has.

    >>> with exclusive(["mine"]), exclusive(["mine"]):
    ...     pass
    """
    kept = tuple(objects)  # alive, so that no other object gets the id of one of them
    wanted, own = {id(each) for each in kept}, threading.get_ident()
    with _changed:
        _changed.wait_for(lambda: all(_owners.get(each, own) == own for each in wanted))
        taken = wanted - _owners.keys()
        _owners.update(dict.fromkeys(taken, own))
    try:
        yield
    finally:
        with _changed:
            for each in taken:
                del _owners[each]
            _changed.notify_all()


def _forget_other_threads() -> None:
    """Free what other threads use: a forked process does not have them."""
    global _changed  # noqa: PLW0603  # one of them may have held the old one
    own = threading.get_ident()
    for each in [each for each, owner in _owners.items() if owner != own]:
        del _owners[each]
    _changed = threading.Condition()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forget_other_threads)


def _copy_state(module: nn.Module) -> State:
    """Return shallow copies of a module's attributes, and of its tables and hooks."""
    attributes = dict(module.__dict__)
    # TorchScript keeps tensors and submodules elsewhere, and they cannot be replaced.
    tables = {name: attributes.get(name) for name in TABLES}
    return attributes, {name: dict(each) for name, each in tables.items() if isinstance(each, dict)}


def is_script(module: nn.Module) -> bool:
    """Return whether a module is TorchScript, whose inner layers run no hooks."""
    import torch

    return isinstance(module, torch.jit.ScriptModule)


def _set_compilation_aside(module: nn.Module) -> None:
    """Let a module run its own forward pass, and change its training mode."""
    own = module.__dict__
    # accelerate replaces the pass by one in a lower precision, whatever the caller asks for.
    if "_original_forward" in own and "forward" in own:
        own["forward"] = own["_original_forward"]
    if own.get("_compiled_call_impl") is not None:
        own["_compiled_call_impl"] = None
    if type(module).__name__ == "OptimizedModule":
        own["forward"] = module.get_submodule("_orig_mod")
    for name in ("train", "eval"):
        if name in own:  # exported modules have methods that raise
            own[name] = partial(getattr(type(module), name), module)


def _restore(table: dict[Any, Any], contents: dict[Any, Any]) -> None:
    """Restore a table's contents; never empty one that did not change.

    A thread that waits for the module may be reading it.
    """
    for key in table.keys() - contents.keys():
        del table[key]
    if list(table) != list(contents):
        table.clear()
    table.update(contents)
