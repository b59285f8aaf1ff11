"""Record a graph across the places where a forward pass cuts it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from effcam.models.tracing.graph import Key, key_of
from effcam.models.tracing.logits import tensors

DETACHING: tuple[Any, ...] = (Tensor.detach, torch.detach, Tensor.data.__get__)  # type: ignore[attr-defined]
WAYS_OUT = 'method="eigencam", "scorecam" and "ablationcam" need no gradients'
"""What to do where the network's own graph is cut."""
FREEING = ("set_", "__set__")
"""How reversible blocks free what they have used, and attributes are set."""
READING: tuple[Any, ...] = (Tensor.numpy, Tensor.__array__)


class LinkedGraph(TorchFunctionMode):
    """Makes ``detach()``, ``.data`` and ``no_grad`` keep the graph: it shows what depends on what.

    Its gradients are not those of the network.

    Attributes:
        joints: The tensors at which the network's own graph is cut, each with the number of the
            block without gradients, from 1, that it comes from; 0 is for detached ones.

    >>> weight = torch.ones(2, requires_grad=True)
    >>> with LinkedGraph() as graph:
    ...     detached = weight.detach()
    >>> detached.requires_grad, len(graph.joints), weight.detach().requires_grad
    (True, 1, False)
    """

    def __init__(self) -> None:
        """Begin without joints."""
        super().__init__()
        self.joints: dict[Key, int] = {}
        self._stopped = False
        self._blocks = 0

    def resume(self) -> None:
        """Record a graph from here on, also where the network switched gradients off."""
        state = self._stopped, self._blocks
        torch.set_grad_enabled(True)
        self._stopped, self._blocks = state

    def __torch_function__(
        self,
        func: Callable[..., Any],
        _types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        """Return a view in place of a detached tensor, and what has a graph under ``no_grad``."""
        kwargs = kwargs or {}
        if func is torch._C._set_grad_enabled:
            self._stopped = not args[0]
            self._blocks += self._stopped
        if func in DETACHING:
            output = args[0].view_as(args[0])
            self._join(output, 0)
            return output
        if func == Tensor.detach_:
            self._join(args[0], 0)
            return args[0]
        if func in READING:
            args = (args[0].detach(), *args[1:])
        if self._stopped and _can_be_linked(func, args, kwargs):
            with torch.enable_grad():
                output = func(*args, **kwargs)
                self._join(args[:1] if _changes_first(func) else output, self._blocks)
                return output
        return func(*args, **kwargs)

    def _join(self, outputs: object, block: int) -> None:
        keys = map(key_of, tensors(outputs))
        self.joints |= {key: block for key in keys if key is not None}


def _can_be_linked(
    func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> bool:
    """Return whether a function gets tensors of the graph; no leaf of it may change in place."""
    if getattr(func, "__name__", "") in FREEING:
        # Torch may wait for ever for the graph of what is freed here.
        return False
    if _changes_first(func) and any(each.is_leaf and each.requires_grad for each in args[:1]):
        return False
    return any(each.grad_fn is not None for each in tensors((args, kwargs)))


def _changes_first(func: Callable[..., Any]) -> bool:
    """Return whether a function changes its first argument in place, by its name."""
    name = getattr(func, "__name__", "")
    return name.startswith(("__i", "__set")) or (name.endswith("_") and not name.endswith("__"))
