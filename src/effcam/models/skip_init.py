"""Build modules without drawing random weights that a checkpoint is about to replace."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

INITIALISERS: Mapping[Callable[..., Any], str] = {
    Tensor.uniform_: "from",
    nn.init.uniform_: "a",
    Tensor.normal_: "mean",
    nn.init.normal_: "mean",
    nn.init.kaiming_uniform_: "",
}
"""Functions that fill a tensor with random numbers, and their argument to fill it with instead.

All random initialisation of torch and timm ends in these. Rejection sampling, as in
`torch.nn.init.trunc_normal_`, accepts the numbers at once: a mean lies within its bounds, and a
lower bound passes every test for "small enough".
"""


class skip_init(TorchFunctionMode):  # noqa: N801  # a context manager, used like a function
    """Fill tensors with a constant instead of random numbers, in this thread only.

    Constants, as the ones of a norm, are set: what a state dict does not hold is what the
    constructor makes it. Load a state dict before you use the module.

    >>> with skip_init():
    ...     layer = nn.Linear(2, 3)
    >>> layer.weight
    Parameter containing:
    tensor([[0., 0.],
            [0., 0.],
            [0., 0.]], requires_grad=True)
    """

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
        if func not in INITIALISERS:
            return func(*args, **arguments)
        tensor = args[0] if args else arguments["tensor"]
        name = INITIALISERS[func]
        with torch.no_grad():
            return tensor.fill_(args[1] if name and len(args) > 1 else arguments.get(name, 0.0))
