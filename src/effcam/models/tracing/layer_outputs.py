"""Read or replace what layers return during a pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeAlias

from torch import Tensor, nn

from effcam.models.tracing.logits import first_tensor
from effcam.models.tracing.target_layer import TargetLayer

Visit: TypeAlias = Callable[[int, Tensor], Tensor | None]
"""Called with a layer's index and its map; returns another one, or ``None`` to keep it."""


@contextmanager
def visiting(module: nn.Module, layers: Sequence[TargetLayer], visit: Visit) -> Iterator[None]:
    """Call a function with the output of each layer within the context.

    Of several calls of a layer in one pass, only the chosen one counts. One pass may run in the
    context; enter it again for the next one.
    """
    turns = [0] * len(layers)

    def called(index: int, _module: nn.Module, _args: object, output: Any) -> Any:
        turn, turns[index] = turns[index], turns[index] + 1
        found = first_tensor(output)
        if turn != layers[index].turn or found is None:
            return None
        changed = visit(index, found)
        return None if changed is None else put_first(output, changed)

    handles = [
        # TorchScript's own method refuses, and yet the hooks of its outermost module run.
        nn.Module.register_forward_hook(module.get_submodule(layer.name), partial(called, index))
        for index, layer in enumerate(layers)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def put_first(output: Any, tensor: Tensor) -> Any:
    """Return an output with another tensor in place of its first one."""
    if isinstance(output, Tensor):
        return tensor
    changed = [tensor, *output[1:]]
    # A named tuple takes its parts one by one.
    return type(output)(*changed) if hasattr(output, "_fields") else type(output)(changed)
