"""Record the outputs of a network's modules, and run it with some of them held."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Key = tuple[str, int]
"""The name of a module, and the index of its call in a forward pass."""


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """The first tensor in the output of one call of a module."""

    key: Key
    module: nn.Module
    value: Tensor


def first_tensor(output: Any) -> Tensor | None:
    """Return the first tensor that has a batch, in nested tuples, lists and mappings."""
    if isinstance(output, Tensor):
        return output if output.ndim > 0 else None
    parts: list[Any] = []
    if isinstance(output, Mapping):
        parts = list(output.values())
    elif isinstance(output, list | tuple):
        parts = list(output)
    return next((found for each in parts if (found := first_tensor(each)) is not None), None)


def replace_first(output: Any, new: Tensor) -> Any:
    """Return an output with its first tensor replaced."""
    old = first_tensor(output)
    if output is old:
        return new
    if isinstance(output, Mapping):
        changed = {key: _replaced(each, old, new) for key, each in output.items()}
        return type(output)(**changed)
    parts = [_replaced(each, old, new) for each in output]
    return type(output)(*parts) if hasattr(output, "_fields") else type(output)(parts)


def _replaced(value: Any, old: Tensor | None, new: Tensor) -> Any:
    return replace_first(value, new) if first_tensor(value) is old and old is not None else value


def read_scores(output: Any, batch: int) -> Tensor:
    """Return the (batch, classes) scores that a network returned, as its documentation has it."""
    named = getattr(output, "logits", None)
    found = first_tensor(output if named is None else named)
    if found is None:
        raise ValueError("the network returned no tensor")
    return found.reshape(batch, -1)


@contextmanager
def watching(module: nn.Module, see: Callable[[Key, nn.Module, Any], Any]) -> Iterator[None]:
    """Call a function with the output of every submodule; what it returns takes its place."""
    turns: Counter[str] = Counter()

    def hook(name: str) -> Callable[..., Any]:
        def seen(part: nn.Module, _args: Any, output: Any) -> Any:
            turns[name] += 1
            return see((name, turns[name] - 1), part, output)

        return seen

    parts = list(module.named_modules())
    # TorchScript's own method refuses, and yet the hooks of its outermost module run.
    handles = [nn.Module.register_forward_hook(part, hook(name)) for name, part in parts if name]
    # No hooks run in what `module.compile()` compiled.
    compiled = {
        part: part._compiled_call_impl
        for _, part in parts
        if not isinstance(part, torch.jit.ScriptModule)
    }
    try:
        for part in compiled:
            part._compiled_call_impl = None
        yield
    finally:
        for part, call in compiled.items():
            part._compiled_call_impl = call
        for handle in handles:
            handle.remove()


def run(module: nn.Module, images: Tensor, at: str = "") -> Tensor:
    """Return the scores of a batch, or the output of a submodule in their place."""
    torch.manual_seed(0)
    if not at:  # without hooks, which scripted modules refuse
        return read_scores(module(images), len(images))
    found: list[Tensor] = []

    def see(key: Key, _module: nn.Module, output: Any) -> None:
        if key[0] == at:
            found.append(read_scores(output, len(images)))

    with watching(module, see):
        module(images)
    return found[-1]


def record(module: nn.Module, images: Tensor) -> list[Call]:
    """Return the calls of all submodules in the order in which they ended."""
    calls: list[Call] = []

    def see(key: Key, part: nn.Module, output: Any) -> None:
        found = first_tensor(output)
        if found is None or found.is_nested:
            return
        if found.shape[0] == len(images) and found.is_floating_point():
            calls.append(Call(key, part, found.detach().clone()))

    torch.manual_seed(0)
    with torch.no_grad(), watching(module, see):
        module(images)
    return calls


Change = Callable[[Tensor], Tensor]


def run_with(module: nn.Module, images: Tensor, changes: Mapping[Key, Change], at: str) -> Tensor:
    """Return the scores of a batch if the outputs of some calls are changed."""
    found: list[Tensor] = []

    def see(key: Key, _module: nn.Module, output: Any) -> Any:
        if key[0] == at:
            found.append(read_scores(output, len(images)))
        first = first_tensor(output)
        if key not in changes or first is None:
            return None
        return replace_first(output, changes[key](first))

    torch.manual_seed(0)
    with torch.no_grad(), watching(module, see):
        output = module(images)
    return found[-1] if at else read_scores(output, len(images))
