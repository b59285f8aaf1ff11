"""Grad-CAM by hand: plain hooks and autograd, without effcam and without grad-cam."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.utils import checkpoint

from zoo.calls import Key, first_tensor, read_scores, replace_first, watching
from zoo.maps import Reading


def grad_cam(
    module: nn.Module, image: Tensor, layers: Sequence[tuple[Key, Reading]], target: int, at: str
) -> Tensor:
    """Return the (h, w) float64 map of one image for one class.

    Args:
        module: The network.
        image: (1, channels, height, width).
        layers: The calls to look at, and how to read what they return; their maps are added.
        target: The class. A network with one score per image has classes 0 and 1.
        at: The submodule that returns the scores; empty for the network.
    """
    wanted = {key for key, _ in layers}
    kept: dict[Key, Tensor] = {}
    rows: list[Tensor] = []

    def see(key: Key, _module: nn.Module, output: Any) -> Any:
        if key[0] == at:
            rows.append(read_scores(output, 1))
        first = first_tensor(output)
        if key not in wanted or first is None:
            return None
        torch.set_grad_enabled(True)  # a body may run without gradients
        kept[key] = first if first.requires_grad else first.detach().requires_grad_()
        return replace_first(output, kept[key].clone())  # what follows may work in place

    torch.manual_seed(0)
    with torch.enable_grad(), _frozen(module), _without_checkpoints(), watching(module, see):
        output = module(image)
        scores = rows[-1] if at else read_scores(output, 1)
        score = (2 * target - 1) * scores[0, 0] if scores.shape[1] == 1 else scores[0, target]
        found = torch.autograd.grad(score, [kept[key] for key, _ in layers], allow_unused=True)
    maps = [
        _weighted(reading, kept[key], gradient)
        for (key, reading), gradient in zip(layers, found, strict=True)
    ]
    return _added(maps).clamp(min=0)


@contextmanager
def _without_checkpoints() -> Iterator[None]:
    """Run checkpointed blocks once: a graph that a hook begins in them has no second pass."""
    function = checkpoint.CheckpointFunction
    plain = patch.object(function, "apply", lambda block, _keep, *inputs: block(*inputs))
    with plain, patch.object(checkpoint, "_checkpoint_hook", lambda _frame: nullcontext()):
        yield


@contextmanager
def _frozen(module: nn.Module) -> Iterator[None]:
    """Let the graph begin at the layers, for networks that cannot be differentiated before."""
    parameters = [each for each in module.parameters() if each.requires_grad]
    for each in parameters:
        each.requires_grad_(False)
    try:
        yield
    finally:
        for each in parameters:
            each.requires_grad_(True)


def _weighted(reading: Reading, value: Tensor, gradient: Tensor | None) -> Tensor:
    if gradient is None:
        gradient = torch.zeros_like(value)
    activations, gradients = (
        reading.to_map(each.detach()).double()[0] for each in (value, gradient)
    )
    return (gradients.mean((1, 2), keepdim=True) * activations).sum(0)


def _added(maps: Sequence[Tensor]) -> Tensor:
    """Return the sum at the finest resolution; a coarse cell's evidence is spread over it."""
    finest = max(maps, key=Tensor.numel)
    if len(maps) == 1:
        return finest
    total = torch.zeros_like(finest)
    for each in maps:
        spread = nn.functional.interpolate(each[None, None], size=finest.shape, mode="bilinear")
        total += each.numel() / finest.numel() * spread[0, 0]
    return total
