"""What a module is, but for the numbers in it: equal for modules whose passes have one shape."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Mapping, Sequence, Set
from types import BuiltinFunctionType, FunctionType
from typing import Any, Generic, TypeAlias, TypeVar, cast

import torch
from torch import Tensor, nn

Value = TypeVar("Value")
Fingerprint: TypeAlias = tuple[Hashable, ...]

PLAIN = (int, float, complex, str, bytes, type(None), type, torch.dtype, torch.device)
TENSORS = ("_parameters", "_buffers")


class _Unknown(Exception):  # noqa: N818  # it says that there is no answer, not that one is wrong
    """Something in a module whose equality nobody can tell."""


def fingerprint(module: nn.Module) -> Fingerprint | None:
    """Return what decides the shapes in a module's pass; ``None`` where that cannot be told.

    It holds the types of all submodules, the shapes of their tensors, and every other attribute
    that they have, hooks too. A module that keeps anything else than numbers, texts, functions
    and containers of these has none.

    >>> fingerprint(nn.Linear(2, 3)) == fingerprint(nn.Linear(2, 3)) != fingerprint(nn.ReLU())
    True
    """
    # One module may serve in several places.
    numbers: dict[int, int] = {}
    try:
        return tuple(
            (
                name,
                numbers.setdefault(id(each), len(numbers)),
                type(each),
                type(each).forward,
                _freeze(_state(each)),
            )
            for name, each in module.named_modules(remove_duplicate=False)
        )
    except _Unknown:
        return None


class StructureCache(Generic[Value]):
    """What was found out about modules, for as long as the process lives.

    Modules of one `fingerprint` share it. It holds no module, and the latest findings alone.
    """

    def __init__(self, most: int = 256) -> None:
        """Remember nothing yet, and at most so many findings."""
        self._most = most
        self._found: dict[Hashable, Value] = {}

    def get(self, module: nn.Module, asked: Hashable, find: Callable[[], Value]) -> Value:
        """Return what is known of a module, or finds it out.

        Args:
            module: The module.
            asked: What else the answer depends on.
            find: Returns the answer; what it raises is not remembered.
        """
        seen = fingerprint(module)
        if seen is None:
            return find()
        key = (seen, asked)
        known = self._found.get(key, self)
        if known is not self:
            return cast("Value", known)
        # Each step is whole by itself: two threads may both find it out, and neither stumbles
        # over what the other one forgets.
        found = self._found[key] = find()
        for oldest in list(self._found)[: -self._most]:
            self._found.pop(oldest, None)
        return found


def _state(module: nn.Module) -> dict[str, object]:
    """Return a module's tensors and attributes, of its submodules the names alone."""
    # Whether it trains changes nothing: it is brought to evaluation.
    own = {name: each for name, each in dict(vars(module)).items() if name != "training"}
    return own | {"_modules": list(own["_modules"])}


def _freeze(value: Any) -> Hashable:
    """Return something hashable that is equal for equal values.

    Raises:
        _Unknown: If that cannot be told.
    """
    match value:
        case _ if isinstance(value, PLAIN):
            return type(value), value
        case Tensor():
            return Tensor, tuple(value.shape), value.dtype, value.layout
        case Mapping() | Sequence():
            # A copy: another thread that has the module may just be hooking it.
            parts = list(value.items() if isinstance(value, Mapping) else value)
            return type(value), tuple(map(_freeze, parts))
        case Set():
            return type(value), frozenset(map(_freeze, value))
        case functools.partial():
            return functools.partial, value.func, _freeze(value.args), _freeze(value.keywords)
        # What is made anew at each call differs in what it closes over.
        case FunctionType() | BuiltinFunctionType() if not getattr(value, "__closure__", None):
            return value
    raise _Unknown
