"""Record a graph across the places where a forward pass cuts it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

DETACHING: tuple[Any, ...] = (Tensor.detach, torch.detach, Tensor.data.__get__)  # type: ignore[attr-defined]
READING: tuple[Any, ...] = (Tensor.numpy, Tensor.__array__)


class LinkedGraph(TorchFunctionMode):
    """Makes ``detach()`` and ``.data`` keep the graph, so that it shows what depends on what.

    Its gradients are not those of the network.

    >>> weight = torch.ones(2, requires_grad=True)
    >>> with LinkedGraph():
    ...     detached = weight.detach()
    >>> detached.requires_grad, weight.detach().requires_grad
    (True, False)
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        _types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        """Return a view in place of a detached tensor."""
        if func in DETACHING:
            return args[0].view_as(args[0])
        if func == Tensor.detach_:
            return args[0]
        if func in READING:
            args = (args[0].detach(), *args[1:])
        return func(*args, **(kwargs or {}))
