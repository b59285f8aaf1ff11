"""Compile the parts of a network that run before its target layer, which makes passes cheaper.

torch's inductor writes code for a part and the shape of its inputs. It knows the weights, so that
it may pack and combine them. The modules themselves stay, and run for inputs of other shapes.
"""

from __future__ import annotations

import logging
import sys
import warnings
import weakref
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from effcam.errors import ModelError, reason_of
from effcam.models.tracing.memory import is_out_of_memory
from effcam.models.tracing.rng import IsolatedRandomness
from effcam.text import one_line


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
    _code: list[weakref.finalize[..., nn.Module]] = field(default_factory=list, repr=False)

    def undo(self) -> None:
        """Let the parts run as they did before, and free the compiled code and its weights."""
        for name in self.parts:
            del self._module.get_submodule(name).forward
        for free in self._code:
            free()


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
                    with _freeing_code_with(part) as free:
                        body._code.append(free)
                        reason = _compile(part, call)
                except Exception:
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
    """A call of a module.

    Attributes:
        end: When it ended.
        forms: The inputs' shapes, strides, types and devices. The inputs themselves would take as
            much memory as training does.
        is_plain: Whether it takes and returns tensors alone.
    """

    end: int
    forms: tuple[tuple[torch.Size, tuple[int, ...], torch.dtype, torch.device], ...]
    is_plain: bool

    def inputs(self) -> tuple[Tensor, ...]:
        """Return tensors like the inputs, of any values."""
        return tuple(
            torch.empty_strided(size, stride, dtype=dtype, device=device)
            for size, stride, dtype, device in self.forms
        )


def _record(module: nn.Module, images: Tensor) -> tuple[dict[nn.Module, _Call], Counter[nn.Module]]:
    """Return the last call of each module in a pass, and how often each runs."""
    calls: dict[nn.Module, _Call] = {}
    runs: Counter[nn.Module] = Counter()

    def note(part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        runs[part] += 1
        plain = not kwargs and all(isinstance(each, Tensor) for each in (*args, output))
        forms = [(each.shape, each.stride(), each.dtype, each.device) for each in args if plain]
        calls[part] = _Call(runs.total(), tuple(forms), plain)

    handles = [each.register_forward_hook(note, with_kwargs=True) for each in module.modules()]
    try:
        with torch.no_grad(), IsolatedRandomness():
            module(images)
    finally:
        for handle in handles:
            handle.remove()
    return calls, runs


def _is_several(part: nn.Module) -> bool:
    """Return whether a module is made of others, which can be combined, and is as its class is.

    Hooks would not run inside it, and a forward pass of its own would be lost.
    """
    own = list(part.modules())
    hooked = any(each._forward_hooks or each._forward_pre_hooks for each in own)
    return len(own) > 2 and not hooked and "forward" not in vars(part)


def _compile(part: nn.Module, call: _Call) -> str:
    """Compile a module in place; return why it cannot be, empty if it is.

    Raises:
        ModelError: If torch's inductor does not work here.
        RuntimeError: If memory runs out.
    """
    import torch._inductor  # takes seconds

    inputs = call.inputs()
    try:
        with torch.no_grad(), _quiet():
            graph = torch.export.export(part, inputs, strict=False).module()
    except Exception as error:  # the module's own code may do what cannot be exported
        if is_out_of_memory(error):
            raise
        return _first_line(reason_of(error))
    try:
        with torch.no_grad(), _quiet():
            code = torch._inductor.compile(graph, list(inputs), options={"freezing": True})
    except Exception as error:
        if is_out_of_memory(error):
            raise
        if lack := _lack(error):
            raise ModelError(f"torch's inductor cannot compile here: {lack}") from error
        return _first_line(reason_of(error))  # some operation of this module
    part.forward = _choosing(code, part, inputs)
    return ""


@contextmanager
def _freeing_code_with(part: nn.Module) -> Iterator[weakref.finalize[..., nn.Module]]:
    """Let the code that is made in this context be freed with a module, or when that is called.

    Otherwise torch keeps the Python modules that it generates, and in them the weights that it
    packed, until the process ends.
    """
    from torch._inductor.codecache import PyCodeCache  # takes seconds

    made: list[ModuleType] = []

    def free() -> None:
        for each in made:
            with suppress(ValueError):  # others may have emptied it
                PyCodeCache.modules.remove(each)
            if sys.modules.get(each.__name__) is each:
                del sys.modules[each.__name__]
        made.clear()

    known = set(PyCodeCache.modules)
    finalizer = weakref.finalize(part, free)
    finalizer.atexit = False
    try:
        yield finalizer
    finally:
        made += [each for each in PyCodeCache.modules if each not in known]


def _lack(error: BaseException) -> str:
    """Return what torch's inductor lacks on this machine, in words; empty if it is another error.

    Its exceptions are known by their names, since not all versions of torch have all of them.
    """
    found: BaseException | None = error
    while found is not None:
        name = type(found).__name__
        if name == "InvalidCxxCompiler":
            return "there is no C++ compiler that works, such as g++ or the one that CXX names"
        if name.endswith("CompileError"):
            return f"the compiler fails: {_complaint(str(getattr(found, 'output', found)))}"
        if name in ("TritonMissing", "GPUTooOldForTriton") or isinstance(found, OSError):
            return _first_line(reason_of(found))
        found = getattr(found, "inner_exception", None) or found.__cause__
    return ""


def _complaint(output: str) -> str:
    """Return the line of a compiler's output that says what is wrong."""
    lines = [each.strip() for each in output.splitlines() if each.strip()]
    named = [each for each in lines if "error" in each.casefold()]
    return _first_line([*named, *lines[-1:], "it says nothing"][0])


def _first_line(text: str) -> str:
    return one_line(text.strip().partition("\n")[0])


def _choosing(
    code: Callable[..., Any], part: nn.Module, inputs: Sequence[Tensor]
) -> Callable[..., Any]:
    """Return a forward pass that runs compiled code for inputs like those that it is made for."""
    wanted, plain = [_form(each) for each in inputs], type(part).forward
    itself: Any = weakref.ref(part)  # else it would keep itself, and its weights, in memory

    def forward(*args: Any, **kwargs: Any) -> Any:
        if kwargs or [_form(each) for each in args] != wanted:
            return plain(itself(), *args, **kwargs)
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
