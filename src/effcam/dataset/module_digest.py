"""Digests of a module: of its tensors, and of the code and attributes that decide its output."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from effcam.dataset.code_names import attribute_names, is_installed, is_installed_module
from effcam.dataset.content_digest import NO_CONTENT, ContentDigest, UnidentifiedError

TABLES = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
"""A module's functions that run with it, by the order of their registration in the process."""
NO_EFFECT = frozenset(
    {
        *TABLES,
        *("training", "_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"),
        *("_forward_hooks_with_kwargs", "_forward_hooks_always_called"),
        *("_forward_pre_hooks_with_kwargs", "_is_full_backward_hook", "_state_dict_hooks"),
        *(
            "_compiled_call_impl",
            "_state_dict_pre_hooks",
            "_load_state_dict_pre_hooks",
            "_load_state_dict_post_hooks",
        ),
    }
)
"""Attributes of every module that are added in another way, or do not change its output."""
NOT_RUN = frozenset(
    {
        *("__init__", "__new__", "__init_subclass__", "__class_getitem__", "__del__"),
        *("__repr__", "__str__", "__setattr__", "__delattr__", "__getstate__", "__setstate__"),
        *("__reduce__", "__reduce_ex__", "__copy__", "__deepcopy__", "__dir__"),
    }
)
"""Special methods that do not run in a forward pass."""
DYNAMIC = frozenset({"getattr", "vars", "__dict__", "eval", "exec", "__getattribute__"})
"""Names by which code reaches attributes whose names it does not contain."""


class ModuleDigest(ContentDigest):
    """A digest of objects, modules among them."""

    def _object(self, value: Any) -> None:
        if isinstance(value, nn.Module):
            self.put("module")
            self.add_code(value)
            self.add_tensors(value)
        else:
            super()._object(value)

    def add_tensors(self, module: nn.Module) -> None:
        """Add all parameters and buffers, with their names, shapes and types."""
        for name, tensor in _tensors(module):
            self.put(name)
            self.add(tensor)

    def add_code(self, module: nn.Module) -> None:
        """Add the structure, and the code, attributes and hooks of each submodule."""
        for name, each in module.named_modules(remove_duplicate=False):
            self.put(name)
            if self.is_new(each) or each is module:
                self._add_own(name, each)

    def _add_own(self, name: str, module: nn.Module) -> None:
        code, names = _reachable(module)
        self.put(type(module).__qualname__)
        every = vars(module)
        attributes = {
            key: value
            for key, value in sorted(every.items())
            if key not in NO_EFFECT and (names is None or key in names)
        }
        hooks = {key: list(every[key].values()) for key in TABLES}
        for key, value in {**code, **attributes, **hooks}.items():
            self.put(key)
            try:
                self.add(value)
            except (UnidentifiedError, RecursionError) as error:
                where = f"layer {name!r}" if name else "the module"
                what = str(error) if isinstance(error, UnidentifiedError) else "nested objects"
                raise UnidentifiedError(f"{key!r} of {where} has {what}") from error


def digest_tensors(module: nn.Module) -> str:
    """Return a digest of all parameters and buffers, with their names, shapes and types.

    Each tensor is read once, and copied one at a time if it is on a GPU or not contiguous.

    Raises:
        UnidentifiedError: If a tensor has no numbers that could be compared.
    """
    digest = ModuleDigest()
    digest.add_tensors(module)
    return digest.hexdigest()


def digest_code(module: nn.Module) -> str:
    """Return a digest of all else that decides a module's output.

    That is the structure and, of each submodule, its code, its attributes and its hooks. Of classes
    of the caller's own, only what ``forward`` can reach is compared, so that code and records of
    the training do not matter.

    Raises:
        UnidentifiedError: If an attribute has no content that could be compared.
    """
    digest = ModuleDigest()
    digest.add_code(module)
    return digest.hexdigest()


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_parameters(remove_duplicate=False)
    yield from module.named_buffers(remove_duplicate=False)


def _reachable(module: nn.Module) -> tuple[dict[str, Any], set[str] | None]:
    """Return the entries of a module's classes that a forward pass can reach, and names it uses.

    The names are ``None`` where they cannot be known, so that all attributes count.
    """
    own: list[type] = []
    installed: list[type] = []
    for kind in type(module).__mro__:
        (installed if _is_library(kind) else own).append(kind)
    entries = {
        f"{kind.__qualname__}.{key}": (key, value)
        for kind in own
        for key, value in sorted(vars(kind).items())
        if key not in NO_CONTENT
    }
    base = {f"installed {at}": kind for at, kind in enumerate(installed[:1])}
    names = _names_from_forward(module, list(entries.values()))
    found = {
        label: value
        for label, (key, value) in entries.items()
        if key not in NOT_RUN and (names is None or key in names or key.startswith("__"))
    }
    return base | found, names


def _is_library(kind: type) -> bool:
    """Return whether a class is installed; torch.fx writes a class of its own for each graph."""
    forward = getattr(vars(kind).get("forward"), "__code__", None)
    written = forward is not None and not is_installed(forward.co_filename)
    return is_installed_module(sys.modules.get(kind.__module__)) and not written


def _names_from_forward(module: nn.Module, entries: list[tuple[str, Any]]) -> set[str] | None:
    """Return all names that code uses which ``forward`` may call, ``None`` if unknown."""
    by_name: dict[str, list[Any]] = {}
    for key, value in entries:
        by_name.setdefault(key, []).append(value)
    if "forward" in vars(module) or "forward" not in by_name:
        return None
    waiting = ["forward", *(key for key in by_name if key[:2] == "__" and key not in NOT_RUN)]
    names = set(waiting)
    while waiting:
        for value in by_name.get(waiting.pop(), ()):
            new = _names_of(value) - names
            names |= new
            waiting += new
    return None if names & DYNAMIC else names


def _names_of(value: Any) -> set[str]:
    """Return the names that a function, or one in a decorator or a property, uses."""
    waiting = [value, *(getattr(value, key, None) for key in ("fget", "__func__", "func"))]
    found: set[str] = set()
    while waiting:
        each = waiting.pop()
        if code := getattr(each, "__code__", None):
            found |= attribute_names(code)
        if (wrapped := getattr(each, "__wrapped__", None)) is not None:
            waiting.append(wrapped)
    return found
