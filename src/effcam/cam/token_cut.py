"""Leave out what the head never reads: the other tokens, after the class token's last attention.

Where a head reads one class token only, the last block's norm and MLP need not run on the others,
neither forwards nor backwards. Their inputs are cut down to that token, and what they would return
for the others is not a number: if anything that a network returns depends on it, it shows.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn

from effcam.cam.head_cam import HeadCAM
from effcam.errors import ModelError
from effcam.models.tracing.logits import Logits, tensors
from effcam.models.tracing.rounding import is_close

EQUAL, EQUAL_HALF = 1e-5, 0.02
"""The largest difference to the whole pass, as a share of the largest value: in float32, and in
half precision."""
WALKED = (Tensor, Mapping, list, tuple)
"""What a network may return, so that all tensors in it are seen."""


class TokenCut:
    """The passes of a network in which the modules that need one token only get no more.

    They are found on the first image of the second batch, since it takes two more passes of one
    image; a cut is made only if the scores and their gradients at the target layer stay. Once a
    batch does need other tokens, none is cut any more.
    """

    def __init__(self, cam: HeadCAM) -> None:
        """Look for nothing yet."""
        self._cam = cam
        self._batches = 0
        self._modules: list[nn.Module] = []

    def scores(self, images: Tensor) -> Logits:
        """Return the scores of a batch, as `HeadCAM.scores` does.

        Args:
            images: (B, C, height, width) inputs; they stay as they are.
        """
        self._batches += 1
        if self._batches == 2 and _reads_class_token(self._cam):
            self._modules = find_modules(self._cam, images[:1].clone())
        if self._modules:
            with suppress(ModelError), cutting(self._modules):
                found = self._cam.scores(images.clone())
                if bool(_all_values(found).isfinite().all()):
                    return found
            self._modules = []
        return self._cam.scores(images)


def _reads_class_token(cam: HeadCAM) -> bool:
    """Return whether the head may read a class token only, as the choice of the layer shows."""
    return len(cam.layers) == 1 and cam.layers[0].layout == "tokens" and cam.layers[0].prefix > 0


@contextmanager
def cutting(modules: Sequence[nn.Module]) -> Iterator[None]:
    """Give modules the first token only in a context, and let them return NaN for the others."""
    lengths: dict[nn.Module, int] = {}

    def cut(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        lengths[module] = args[0].shape[1]
        return args[0][:, :1], *args[1:]

    def fill(module: nn.Module, _args: object, output: Tensor) -> Tensor:
        count, _, channels = output.shape
        unknown = output.new_full((1, 1, 1), math.nan)
        return torch.cat([output, unknown.expand(count, lengths[module] - 1, channels)], 1)

    handles = [each.register_forward_pre_hook(cut) for each in modules]
    handles += [each.register_forward_hook(fill) for each in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


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
            returned = cam.scores(image)
        if not _shows_nan(returned.output):
            return []  # a caller's function may read any part of it
        whole, calls = _all_values(returned), record.of_weights()
        leaf_gradient, *gradients = _differentiate(cam, whole, calls)
        found: list[_Call] = []
        for call, gradient in zip(calls, gradients, strict=True):
            if _only_first(gradient) and not call.is_inside(found) and _is_tokenwise(call):
                found.append(call)
        modules = [each.module for each in found]
        if leaf_gradient is None or not modules:
            return []
        with suppress(ModelError), cutting(modules):  # it may not bear them
            values = _all_values(cam.scores(image))
            (gradient,) = _differentiate(cam, values, ())
            within = EQUAL if cam.precision == "fp32" else EQUAL_HALF
            if (
                gradient is not None
                and is_close(values, whole, within)
                and is_close(gradient[:, 1:], leaf_gradient[:, 1:], within)
                and is_close(gradient[:, :1], leaf_gradient[:, :1], within)
            ):
                return modules
    return []


def _shows_nan(output: object) -> bool:
    """Return whether all that a network returned can be seen, and none of it hides a NaN.

    A whole number or a truth value that was made of NaN looks like any other.
    """
    return isinstance(output, WALKED) and all(each.is_floating_point() for each in tensors(output))


def _all_values(found: Logits) -> Tensor:
    """Return all that a network returned, (n,): functions of a caller's own may read any of it."""
    several = [found.values, *tensors((found.embedding, found.output))]
    return torch.cat([each.flatten() for each in several if each.is_floating_point()])


def _differentiate(cam: HeadCAM, values: Tensor, calls: Sequence[_Call]) -> Sequence[Tensor | None]:
    """Return the gradients of a sum of values at the target layer, and at what calls returned."""
    leaf = cam.leaves[0]
    if leaf is None or not (leaf.requires_grad and values.requires_grad):
        return [None] * (len(calls) + 1)
    inputs = [leaf, *(each.output for each in calls)]
    return torch.autograd.grad(cam.total(_weighted(values)), inputs, allow_unused=True)


def _weighted(values: Tensor) -> Tensor:
    """Return each value times another factor: the sum of a softmax, for example, never changes."""
    factors = torch.arange(values.numel(), device=values.device).cos()
    return values.float() * factors.reshape(values.shape)


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
    """Return whether a module makes the same of the first token, whatever the others are.

    Its gradient shows also what is too small to change a sum, as behind a small layer scale.
    """
    tokens = call.tokens.detach().requires_grad_()
    others = torch.cat([tokens[:, :1], 1 - tokens[:, 1:].flip(1)], 1).detach()
    try:
        first, changed = call.module(tokens)[:, 0], call.module(others)[:, 0]
        alone = call.module(tokens[:, :1])[:, 0]
        (gradient,) = torch.autograd.grad(_weighted(first).sum(), tokens)
    except Exception:  # noqa: BLE001  # the module's own code may raise anything
        return False
    return _only_first(gradient) and torch.equal(first, changed) and is_close(alone, first, 1e-3)
