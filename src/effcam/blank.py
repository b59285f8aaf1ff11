"""Modules built to be filled: nobody draws random weights that are about to be overwritten."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

DRAWS: Mapping[Callable[..., Any], str] = {
    Tensor.uniform_: "from",
    nn.init.uniform_: "a",
    Tensor.normal_: "mean",
    nn.init.normal_: "mean",
    nn.init.kaiming_uniform_: "",
}
"""What fills a tensor with random numbers in place, and its argument that such a number may be.

Whoever draws until a number fits, as `torch.nn.init.trunc_normal_` does, ends with these: a
mean lies within its bounds, and a lower bound passes every test for "small enough".
"""


class _WithoutDraws(TorchFunctionMode):
    """Fills tensors with one number instead of random ones, in this thread alone."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        _types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        arguments = kwargs or {}
        if func is Tensor.erfinv_:  # the slow step of timm's truncated normal distribution
            return args[0]
        if func not in DRAWS:
            return func(*args, **arguments)
        tensor = args[0] if args else arguments["tensor"]
        name = DRAWS[func]
        with torch.no_grad():
            return tensor.fill_(args[1] if name and len(args) > 1 else arguments.get(name, 0.0))


def without_draws() -> TorchFunctionMode:
    """Returns a context in which weights that are drawn at random are all alike instead.

    Constants, as the ones of a norm, are set as ever: what a state dict does not hold stays what
    the constructor makes it. What it does hold must be loaded before the module is used.

    >>> with without_draws():
    ...     layer = nn.Linear(2, 3)
    >>> layer.weight
    Parameter containing:
    tensor([[0., 0.],
            [0., 0.],
            [0., 0.]], requires_grad=True)
    """
    return _WithoutDraws()
