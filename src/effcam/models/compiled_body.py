"""Compile the parts of a network that run before its target layer, which makes passes cheaper.

torch's inductor writes code for a part and the shape of its inputs. It knows the weights, so that
it may pack and combine them. The modules themselves stay, and run for inputs of other shapes.
"""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from effcam.errors import ModelError, reason_of
from effcam.models.tracing.rng import IsolatedRandomness


@dataclass(frozen=True, slots=True, eq=False)
class CompiledBody:
    """The compiled parts of a network.

    Attributes:
        parts: The names of the modules that are compiled.
        failed: Why modules are not compiled, by name.
    """

    parts: list[str]
    failed: dict[str, str]
    _module: nn.Module = field(repr=False)

    def undo(self) -> None:
        """Let the parts run as they did before."""
        for name in self.parts:
            del self._module.get_submodule(name).forward


def compile_body(module: nn.Module, images: Tensor, targets: Collection[str]) -> CompiledBody:
    """Compile what runs before a network's target layers, or as one, in place.

    Compiled are the largest modules of several operations that run once, get and return tensors
    without a graph, and hold no target layer. They run compiled for inputs of the same shapes and
    memory formats as here, of which no gradient is needed.

    Args:
        module: The network, in evaluation mode; nobody else may use it.
        images: (B, C, height, width), a batch of the size that will run, on the network's device.
        targets: The names of the target layers.

    Raises:
        ModelError: If the network does not run, or torch's inductor does not work here.
    """
    calls, runs = _record(module, images)
    names = {each: name for name, each in module.named_modules()}
    last = min(calls[module.get_submodule(name)].end for name in targets)
    kept = {module.get_submodule(name) for name in targets}
    body = CompiledBody([], {}, module)
    waiting = [module]
    while waiting:
        part = waiting.pop()
        call = calls.get(part)
        if call is not None and runs[part] == 1 and call.is_plain and call.end <= last:
            if not _is_several(part):
                continue
            if not kept.intersection(part.modules()) - {part}:
                try:
                    reason = _compile(part, call)
                except ModelError:
                    body.undo()
                    raise
                if not reason:
                    body.parts.append(names[part])
                    continue
                body.failed[names[part]] = reason
        if part not in kept:
            waiting.extend(reversed(list(part.children())))
    return body


@dataclass(frozen=True, slots=True, eq=False)
class _Call:
    """A call of a module: when it ended, its inputs, and whether it is one of tensors alone."""

    end: int
    inputs: tuple[Any, ...]
    is_plain: bool


def _record(module: nn.Module, images: Tensor) -> tuple[dict[nn.Module, _Call], Counter[nn.Module]]:
    """Return the last call of each module in a pass, and how often each runs."""
    calls: dict[nn.Module, _Call] = {}
    runs: Counter[nn.Module] = Counter()

    def note(part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        runs[part] += 1
        plain = not kwargs and all(isinstance(each, Tensor) for each in (*args, output))
        calls[part] = _Call(runs.total(), args if plain else (), plain)

    handles = [each.register_forward_hook(note, with_kwargs=True) for each in module.modules()]
    try:
        with torch.no_grad(), IsolatedRandomness():
            module(images)
    finally:
        for handle in handles:
            handle.remove()
    return calls, runs


def _is_several(part: nn.Module) -> bool:
    """Return whether a module is made of others, which can be combined, and has no hooks inside."""
    own = list(part.modules())
    return len(own) > 2 and not any(each._forward_hooks or each._forward_pre_hooks for each in own)


def _compile(part: nn.Module, call: _Call) -> str:
    """Compile a module in place; return why it cannot be, empty if it is.

    Raises:
        ModelError: If torch's inductor does not work here.
    """
    import torch._inductor  # takes seconds

    plain = part.forward
    try:
        with torch.no_grad(), _quiet():
            graph = torch.export.export(part, call.inputs, strict=False).module()
    except Exception as error:  # noqa: BLE001  # the module's own code may do what cannot be exported
        return reason_of(error)
    try:
        with torch.no_grad(), _quiet():
            code = torch._inductor.compile(graph, list(call.inputs), options={"freezing": True})
    except Exception as error:
        raise ModelError(
            f"torch's inductor cannot compile here: {reason_of(error)}. On a CPU it needs a C++ "
            "compiler, on a GPU triton"
        ) from error
    part.forward = _choosing(code, plain, call.inputs)
    return ""


def _choosing(
    code: Callable[..., Any], plain: Callable[..., Any], inputs: Sequence[Tensor]
) -> Callable[..., Any]:
    """Return a forward pass that runs compiled code for inputs like those that it is made for."""
    wanted = [_form(each) for each in inputs]

    def forward(*args: Any, **kwargs: Any) -> Any:
        if kwargs or [_form(each) for each in args] != wanted:
            return plain(*args, **kwargs)
        with torch.no_grad():
            made = code(*args)
        return made if isinstance(made, Tensor) else made[0]

    return forward


def _form(value: object) -> object:
    """Return what compiled code depends on, apart from the values of a tensor."""
    if not isinstance(value, Tensor):
        return None
    return (
        *(value.shape, value.stride(), value.dtype, value.device),
        value.requires_grad and torch.is_grad_enabled(),
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide what torch's compiler logs and warns of in a context, such as that there is no CUDA."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(disabled)
