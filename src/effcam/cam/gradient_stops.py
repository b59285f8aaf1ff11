"""Find why no gradient gets from the class scores back to a layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from effcam.models.tracing.linked_graph import DETACHING
from effcam.models.tracing.logits import tensors

NOT_DERIVABLE = "NotImplemented"
"""The end of the names of nodes whose operation has no derivative."""


class GradientStops(TorchFunctionMode):
    """Records what ends gradients in a forward pass.

    Attributes:
        found: What was called or entered, in order.
    """

    def __init__(self) -> None:
        """Begin with nothing found."""
        super().__init__()
        self.found: list[str] = []
        self._switched_off = False  # custom functions, too, run with gradients switched off

    def __torch_function__(
        self,
        func: Callable[..., Any],
        _types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        """Call a function, and record it if it ends the gradients of what it gets."""
        if func is torch._C._set_grad_enabled:
            self._switched_off = not args[0]
        output = func(*args, **(kwargs or {}))
        if isinstance(output, Tensor) and any(
            each.requires_grad for each in tensors((args, kwargs))
        ):
            if func in DETACHING:
                self._add("calls detach()")
            elif torch.is_inference_mode_enabled():
                self._add("runs under torch.inference_mode()")
            elif self._switched_off:
                self._add("runs under torch.no_grad()")
        return output

    def _add(self, what: str) -> None:
        if what not in self.found:
            self.found.append(what)


def has_unknown_derivative(scores: Tensor) -> bool:
    """Return whether scores come from an operation, as a quantised layer, that torch cannot derive.

    torch only warns, and takes such a derivative for 0.
    """
    return any(node.name().endswith(NOT_DERIVABLE) for node in graph_nodes(scores))


def graph_nodes(scores: Tensor) -> Iterator[Any]:
    """Yield each node of the graph that a tensor comes from, once."""
    seen: set[Any] = set()
    waiting: list[Any] = [scores.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            waiting += [following for following, _ in node.next_functions]
