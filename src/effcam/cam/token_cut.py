"""Leave out what the head never reads: the other tokens, after the class token's last attention.

Where a head reads one class token only, the last block's norm and MLP need not run on the others,
neither forwards nor backwards. Their inputs are cut down to that token, and adding a residual
spreads its result over all tokens, of which only the first is read.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn

from effcam.cam.head_cam import HeadCAM
from effcam.errors import ModelError
from effcam.models.tracing.logits import Logits, tensors

EQUAL = {"fp32": 1e-5}
HALF = 0.02
"""The largest difference to the whole pass, as a share of the largest value, by precision."""


class TokenCut:
    """The modules of a network that need one token only, and a context in which they get no more.

    They are found on the first image of the second batch, since it takes two more passes of one
    image; a cut is made only if the scores and their gradients at the target layer stay.
    """

    def __init__(self, cam: HeadCAM) -> None:
        """Look for nothing yet."""
        self._cam = cam
        self._batches = 0
        self._modules: list[nn.Module] = []

    @contextmanager
    def for_batch(self, images: Tensor) -> Iterator[None]:
        """Cut in a context, in which the network runs on a batch.

        Args:
            images: (B, C, height, width) inputs.
        """
        self._batches += 1
        if self._batches == 2 and _reads_class_token(self._cam):
            self._modules = find_modules(self._cam, images[:1].clone())
        with cutting(self._modules):
            yield


def _reads_class_token(cam: HeadCAM) -> bool:
    """Return whether the head may read a class token only, as the choice of the layer shows."""
    return len(cam.layers) == 1 and cam.layers[0].layout == "tokens" and cam.layers[0].prefix > 0


@contextmanager
def cutting(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Cut the input of some modules to the first token within a context."""
    handles = [each.register_forward_pre_hook(_first_token) for each in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _first_token(_module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    return args[0][:, :1], *args[1:]


@dataclass(frozen=True, slots=True, eq=False)
class _Call:
    """A call of a module on (B, N, C) tokens: its time, and what it got and returned."""

    module: nn.Module
    start: int
    end: int
    tokens: Tensor
    output: Tensor

    def is_inside(self, others: Sequence[_Call]) -> bool:
        """Return whether this call began and ended inside one of others."""
        return any(each.start < self.start and self.end < each.end for each in others)


def find_modules(cam: HeadCAM, image: Tensor) -> list[nn.Module]:
    """Return the modules that may get the first token only; empty if there are none.

    Args:
        cam: The network and its target layer.
        image: (1, C, height, width), an input.
    """
    with cam.apart():
        with _recording(cam) as record:
            whole = _all_values(cam.scores(image))
        calls = record.of_weights()
        leaf_gradient, *gradients = _differentiate(cam, whole, calls)
        found: list[_Call] = []
        for call, gradient in zip(calls, gradients, strict=True):
            if _only_first(gradient) and not call.is_inside(found) and _is_tokenwise(call):
                found.append(call)
        modules = [each.module for each in found]
        if leaf_gradient is None or not modules:
            return []
        with suppress(ModelError), cutting(modules):  # it may not bear fewer tokens
            values = _all_values(cam.scores(image))
            (gradient,) = _differentiate(cam, values, ())
            within = EQUAL.get(cam.precision, HALF)
            if (
                gradient is not None
                and _equal(values, whole, within)
                and _equal(gradient, leaf_gradient, within)
            ):
                return modules
    return []


def _all_values(found: Logits) -> Tensor:
    """Return all that a network returned, (n,): functions of a caller's own may read any of it."""
    several = [found.values, *tensors((found.embedding, found.output))]
    return torch.cat([each.flatten() for each in several if each.is_floating_point()])


def _differentiate(cam: HeadCAM, values: Tensor, calls: Sequence[_Call]) -> Sequence[Tensor | None]:
    """Return the gradients of a sum of values at the target layer, and at what calls returned."""
    leaf = cam.leaves[0]
    if leaf is None or not (leaf.requires_grad and values.requires_grad):
        return [None] * (len(calls) + 1)
    # Each with another weight: the sum of a softmax, for example, does not change.
    weights = torch.arange(len(values), device=values.device).cos()
    inputs = [leaf, *(each.output for each in calls)]
    return torch.autograd.grad(cam.total(values * weights), inputs, allow_unused=True)


@dataclass(slots=True, eq=False)
class _Record:
    """The calls of modules on tokens that depend on the target layer, and how often each runs."""

    length: int
    calls: list[_Call] = field(default_factory=list)
    runs: Counter[nn.Module] = field(default_factory=Counter)
    starts: list[int] = field(default_factory=list)
    clock: Iterator[int] = field(default_factory=count)

    def begin(self, module: nn.Module, _args: object) -> None:
        self.runs[module] += 1
        self.starts.append(next(self.clock))

    def finish(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        start, end = self.starts.pop(), next(self.clock)
        if len(args) == 1 and all(_is_tokens(each, self.length) for each in (*args, output)):
            self.calls.append(_Call(module, start, end, args[0], output))

    def of_weights(self) -> list[_Call]:
        """Return the calls of modules that run once and have weights, in order of their starts."""
        found = [
            each
            for each in self.calls
            if self.runs[each.module] == 1 and next(each.module.parameters(), None) is not None
        ]
        return sorted(found, key=lambda each: each.start)


@contextmanager
def _recording(cam: HeadCAM) -> Iterator[_Record]:
    """Record the calls of modules without hooks, which a cut would show one token only."""
    layer = cam.layers[0]
    record = _Record(layer.prefix + math.prod(layer.grid))
    plain = [each for each in cam.model.modules() if not _has_hooks(each)]
    handles = [each.register_forward_pre_hook(record.begin) for each in plain]
    handles += [each.register_forward_hook(record.finish) for each in plain]
    try:
        yield record
    finally:
        for handle in handles:
            handle.remove()


def _has_hooks(module: nn.Module) -> bool:
    return any(each._forward_hooks or each._forward_pre_hooks for each in module.modules())


def _is_tokens(value: object, length: int) -> bool:
    return (
        isinstance(value, Tensor)
        and value.ndim == 3
        and value.shape[1] == length
        and value.requires_grad
    )


def _only_first(gradient: Tensor | None) -> bool:
    if gradient is None:
        return False
    reached = gradient.abs().sum((0, 2)) > 0
    return bool(reached[0]) and not bool(reached[1:].any())


def _is_tokenwise(call: _Call) -> bool:
    """Return whether a module makes the same of a token without the others."""
    try:
        with torch.no_grad():
            alone = call.module(call.tokens[:, :1])
    except Exception:  # noqa: BLE001  # the module's own code may raise anything
        return False
    first = call.output[:, :1]
    return isinstance(alone, Tensor) and alone.shape == first.shape and _equal(alone, first, 1e-3)


def _equal(one: Tensor, other: Tensor, within: float) -> bool:
    """Return whether tensors differ at most by a share of the largest absolute value."""
    if one.shape != other.shape:
        return False
    difference = (one.float() - other.float()).abs().max()
    return bool(difference <= within * other.abs().max())
