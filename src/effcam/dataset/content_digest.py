"""A digest of Python objects by content: values, tensors, and the code of functions and classes.

Two objects of one digest do the same, also in different processes. Functions are compared by their
bytecode, defaults, closures, and the globals that they use, so changed comments do not matter.
Code of installed packages is compared by its name and the package's version.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import logging
import pickle
import re
import sys
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

import numpy as np
import torch
from torch import Tensor

from effcam.dataset.code_names import (
    attribute_names,
    global_names,
    is_installed,
    is_installed_module,
    release,
)

PLAIN = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis), type(NotImplemented))
BY_NAME = (
    BuiltinFunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodWrapperType,
    WrapperDescriptorType,
)
BY_TEXT = (re.Pattern, PurePath, range, slice, torch.dtype, torch.layout, torch.memory_format)
RECORDED = frozenset({"effcam", "torch", "torchvision", "timm", "numpy"})
"""Packages whose versions a run records itself; other versions of them give a warning."""
NO_CONTENT = frozenset(
    {
        *("__doc__", "__module__", "__dict__", "__weakref__", "__qualname__", "__slots__"),
        *("__annotations__", "__annotate__", "__annotate_func__", "__annotations_cache__"),
        *("__firstlineno__", "__static_attributes__", "__abstractmethods__", "_abc_impl"),
        *("__orig_bases__", "__parameters__", "__dataclass_fields__", "__dataclass_params__"),
        *("_autograd_function_id", "_backward_cls"),
    }
)
"""Entries of a class that do not change what it does."""


class UnidentifiedError(Exception):
    """An object has no content that could be compared."""


class ContentDigest:
    """Collects objects, and returns the digest of all of them."""

    def __init__(self) -> None:
        """Start empty."""
        # Twice as fast as SHA-256 where the processor has no instructions for that.
        self._hash = hashlib.blake2b(digest_size=8)
        self._numbers: dict[int, int] = {}
        self._kept: list[object] = []  # alive, so that ids stay unique

    def hexdigest(self) -> str:
        """Return the digest, 16 hexadecimal digits."""
        return self._hash.hexdigest()

    def put(self, *parts: object) -> None:
        """Add some plain values."""
        self._hash.update(repr(parts).encode("utf-8", "backslashreplace"))

    def add(self, value: Any) -> None:
        """Add an object.

        Raises:
            UnidentifiedError: If it, or a part of it, has no content that could be compared.
        """
        if type(value) in PLAIN:
            self.put(type(value).__name__, value)
        elif type(value) in (tuple, frozenset) or self.is_new(value):
            self._add_other(value)

    def is_new(self, value: object) -> bool:
        """Add the number of an object, and return whether it is met for the first time."""
        new = id(value) not in self._numbers
        number = self._numbers.setdefault(id(value), len(self._numbers))
        if new:
            self._kept.append(value)
        self.put("object", number)
        return new

    def add_all(self, values: Iterable[Any]) -> None:
        """Add several objects."""
        for value in values:
            self.add(value)

    def _add_other(self, value: Any) -> None:
        match value:
            case Tensor():
                self._tensor(value)
            case np.ndarray() | np.generic():
                self._array(np.asarray(value))
            case enum.Enum():
                self.put("enum", type(value).__qualname__, value.name)
                self.add(value.value)
            case int() | float() | complex() | str() | bytes():  # a subclass of one of these
                base: Any = next(kind for kind in PLAIN if isinstance(value, kind))
                self.put(type(value).__qualname__, base.__repr__(value))
            case Mapping() | list() | tuple() | deque() | set() | frozenset():
                self._container(value)
            case FunctionType():
                self._function(value)
            case MethodType():
                self.put("method")
                self.add_all([value.__func__, value.__self__])
            case CodeType():
                self._code(value)
            case type():
                self._class(value)
            case functools.partial():
                self.put("partial")
                self.add_all([value.func, value.args, value.keywords])
            case staticmethod() | classmethod():
                self.put(type(value).__name__)
                self.add(value.__func__)
            case _:
                self._opaque(value)

    def _opaque(self, value: Any) -> None:
        if isinstance(value, torch.device):
            self.put("device")  # a run may continue on another one
        elif isinstance(value, property):
            self.put("property")
            self.add_all([value.fget, value.fset])
        elif isinstance(value, BY_TEXT):
            self.put(type(value).__name__, str(value))
        elif isinstance(value, ModuleType | logging.Logger):
            self.put(type(value).__name__, getattr(value, "__name__", ""))
        elif isinstance(value, BY_NAME):
            self.put(getattr(value, "__module__", ""), value.__qualname__)
        elif isinstance(wrapped := getattr(value, "__wrapped__", None), FunctionType):
            self.put(type(value).__qualname__)  # such as a function with a cache
            self.add(wrapped)
        else:
            self._object(value)

    def _tensor(self, tensor: Tensor) -> None:
        self.put("tensor", str(tensor.dtype), tuple(tensor.shape))
        try:
            if type(tensor).__torch_dispatch__ is not Tensor.__torch_dispatch__:
                raise NotImplementedError  # a subclass, whose numbers are elsewhere
            flat = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
            self._hash.update(flat.view(torch.uint8).numpy().data)
        except (RuntimeError, NotImplementedError, TypeError):  # sparse, quantised, ...
            try:
                stream: Any = _Stream(self._hash)
                torch.save(tensor.detach().cpu(), stream)
            except Exception as error:
                raise UnidentifiedError(
                    f"a tensor of {tensor.dtype} and {tensor.layout}"
                ) from error

    def _array(self, array: np.ndarray[Any, Any]) -> None:
        self.put("array", str(array.dtype), array.shape)
        if array.dtype.hasobject:
            self.add_all(array.ravel().tolist())
        else:
            self._hash.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)

    def _container(self, value: Any) -> None:
        self.put(type(value).__name__, len(value))
        if isinstance(value, Mapping):
            for key, each in value.items():
                self.add(key)
                self.add(each)
        elif isinstance(value, set | frozenset):
            self.put(*sorted(map(digest_of, value)))
        else:
            self.add_all(value)
        if state := getattr(value, "__dict__", None):
            self.add(state)

    def _function(self, function: FunctionType) -> None:
        code = function.__code__
        # __class__ is for super(), and holds the function's own class.
        cells = [
            cell
            for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True)
            if name != "__class__" and _is_filled(cell)
        ]
        if is_installed(code.co_filename):
            self._installed(function.__module__, function.__qualname__)
            # A decorator's own code says nothing about what it decorates.
            own = getattr(function, "__wrapped__", None)
            self.add_all([own] if own is not None else [cell.cell_contents for cell in cells])
            return
        self.put("function")
        self._code(code, doc=function.__doc__)
        self.add_all([function.__defaults__, function.__kwdefaults__])
        self.add_all(cell.cell_contents for cell in cells)
        for name in global_names(code):
            if name in function.__globals__:
                self.put(name)
                self._global(function.__globals__[name], attribute_names(code))

    def _global(self, value: object, names: set[str]) -> None:
        """Add the value of a global, and of a module of the caller's own what is used of it."""
        self.add(value)
        if isinstance(value, ModuleType) and not is_installed_module(value):
            for name in sorted(names & vars(value).keys()):
                self.put(name)
                self.add(vars(value)[name])

    def _code(self, code: CodeType, doc: str | None = None) -> None:
        self.put("code", code.co_code, code.co_names, code.co_varnames, code.co_flags)
        self.put(code.co_freevars, code.co_cellvars, code.co_argcount, code.co_kwonlyargcount)
        constants = list(code.co_consts)
        if doc is not None and constants[:1] == [doc]:
            del constants[0]
        self.add_all(constants)

    def _class(self, kind: type) -> None:
        self.put("class", kind.__qualname__)
        for each in kind.__mro__:
            if is_installed_module(sys.modules.get(each.__module__)):
                self._installed(each.__module__, each.__qualname__)
                continue
            for name, value in sorted(vars(each).items()):
                if name not in NO_CONTENT:
                    self.put(name)
                    self.add(value)

    def _installed(self, module: str | None, name: str) -> None:
        package = (module or "").partition(".")[0]
        known = package in RECORDED or package in sys.stdlib_module_names
        self.put("installed", module, name, "" if known else release(package))

    def _object(self, value: Any) -> None:
        self.add(type(value))
        state = dict(sorted(getattr(value, "__dict__", {}).items()))
        slots = [name for each in type(value).__mro__ for name in _slots(each)]
        state |= {name: getattr(value, name) for name in slots if hasattr(value, name)}
        if not state:
            try:
                state = dict(enumerate(value.__reduce_ex__(pickle.DEFAULT_PROTOCOL)[1:]))
            except Exception as error:  # it may raise anything
                raise UnidentifiedError(f"a {type(value).__qualname__}") from error
        self.add(state)


def digest_of(value: object) -> str:
    """Return the digest of an object.

    Raises:
        UnidentifiedError: If it, or a part of it, has no content that could be compared.
    """
    digest = ContentDigest()
    digest.add(value)
    return digest.hexdigest()


class _Stream:
    """A file that hashes what is written."""

    def __init__(self, target: Any) -> None:
        self._target = target

    def write(self, data: bytes) -> int:
        self._target.update(data)
        return len(data)

    def flush(self) -> None: ...


def _is_filled(cell: Any) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def _slots(kind: type) -> list[str]:
    names = vars(kind).get("__slots__", ())
    every = [names] if isinstance(names, str) else list(names)
    return [name for name in every if name not in ("__dict__", "__weakref__")]
