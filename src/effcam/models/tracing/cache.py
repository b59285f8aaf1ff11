"""Remember what was found about modules of one structure."""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence, Set
from types import BuiltinFunctionType, FunctionType
from typing import Any, Generic, TypeAlias, TypeVar, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from effcam.models.tracing.isolation import is_script

Value = TypeVar("Value")
Fingerprint: TypeAlias = tuple[Hashable, ...]

PLAIN = (int, float, complex, bytes, type(None), type, torch.dtype, torch.device)


class _UncomparableError(Exception):
    """A module holds a value that cannot be compared."""


def fingerprint(module: nn.Module) -> Fingerprint | None:
    """Return a value that is equal for modules whose passes have the same shapes.

    It holds the types of all submodules, the shapes of their tensors, and all other attributes,
    also hooks. It is ``None`` for a module with attributes other than numbers, texts, functions
    and containers of these.

    >>> fingerprint(nn.Linear(2, 3)) == fingerprint(nn.Linear(2, 3)) != fingerprint(nn.ReLU())
    True
    """
    if any(map(is_script, module.modules())):  # their code is not among their attributes
        return None
    # One module may be used in several places.
    numbers: dict[int, int] = {}
    try:
        return tuple(
            (
                name,
                numbers.setdefault(id(each), len(numbers)),
                type(each),
                type(each).forward,
                _freeze_state(each),
            )
            for name, each in module.named_modules(remove_duplicate=False)
        )
    except _UncomparableError:
        return None


class StructureCache(Generic[Value]):
    """Results about modules, shared by modules of one `fingerprint`.

    It holds no module, and only the latest results.
    """

    def __init__(self, most: int = 256) -> None:
        """Begin empty; hold at most ``most`` results."""
        self._most = most
        self._found: dict[Hashable, Value] = {}

    def get(self, module: nn.Module, asked: Hashable, find: Callable[[], Value]) -> Value:
        """Return the result for a module, computed if it is not known.

        Args:
            module: The module.
            asked: What else the result depends on.
            find: Computes the result; exceptions are not remembered.
        """
        seen = fingerprint(module)
        if seen is None:
            return find()
        key = (seen, asked)
        known = self._found.get(key, self)
        if known is not self:
            return cast("Value", known)
        # Each step is atomic: two threads may both compute it, and neither fails when the other
        # drops a result.
        found = self._found[key] = find()
        for oldest in list(self._found)[: -self._most]:
            self._found.pop(oldest, None)
        return found


class WeightsCache(Generic[Value]):
    """The latest result about each module, remembered until the values of its tensors change.

    It keeps no module alive.
    """

    def __init__(self) -> None:
        """Begin empty."""
        self._known: WeakKeyDictionary[nn.Module, tuple[object, Value]] = WeakKeyDictionary()

    def get(self, module: nn.Module, asked: object, find: Callable[[], Value]) -> Value:
        """Return the result for a module, computed if it is not known.

        Args:
            module: The module.
            asked: What else the result depends on.
            find: Computes the result; exceptions are not remembered.
        """
        tensors = [*module.parameters(), *module.buffers()]
        state = [(id(each), None if each.is_inference() else each._version) for each in tensors]
        known = self._known.get(module)
        if known is None or known[0] != (asked, state):
            known = self._known[module] = (asked, state), find()
        return known[1]


def _freeze_state(module: nn.Module) -> Hashable:
    """Return a module's tensors, attributes and hooks, and the names of its submodules."""
    # A copy: another thread may be using the module.
    own = dict(vars(module))
    # The training mode does not matter: passes run in evaluation mode. Nor does compilation.
    own.pop("training", None)
    own.pop("_compiled_call_impl", None)
    # Nor do the trainer of a Lightning module, and the hook of it that is running.
    own.pop("_trainer", None)
    own.pop("_current_fx_name", None)
    own["_modules"] = list(own["_modules"])
    return _freeze(own)


def _freeze(value: Any) -> Hashable:
    """Return something hashable that is equal for equal values.

    Raises:
        _UncomparableError: If the value cannot be compared.
    """
    # Most values of a module: its names, and dictionaries of hooks, which are mostly empty.
    if isinstance(value, str):
        return value
    kind = type(value)
    if kind is dict or kind is OrderedDict:
        # A copy: another thread that uses the module may be adding a hook.
        items = list(value.items()) if value else ()
        return kind, *[(_freeze(name), _freeze(each)) for name, each in items]
    return _freeze_other(value)


def _freeze_other(value: Any) -> Hashable:
    match value:
        case _ if isinstance(value, PLAIN):
            return type(value), value
        case Tensor():
            return Tensor, tuple(value.shape), value.dtype, value.layout
        case Mapping() | Sequence():
            parts = list(value.items() if isinstance(value, Mapping) else value)
            return type(value), tuple(map(_freeze, parts))
        case Set():
            return type(value), frozenset(map(_freeze, value))
        case functools.partial():
            return functools.partial, value.func, _freeze(value.args), _freeze(value.keywords)
        # Functions with a closure may differ in its values.
        case FunctionType() | BuiltinFunctionType() if not getattr(value, "__closure__", None):
            return value
    raise _UncomparableError
