"""Parts of a network whose inner layers run no hooks: TorchScript and exported graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from effcam.errors import LayerError
from effcam.models.tracing.isolation import is_script

if TYPE_CHECKING:
    from effcam.models.tracing.trace import LayerCall, Trace

CONVOLUTIONS = ("conv", "scaled_dot_product_attention")
ATTENTION = ("softmax", "matmul")
"""Operations that make features: one of the first, or both of these."""


def is_exported(module: nn.Module) -> bool:
    """Return whether a module is a graph of operations, as ``torch.export`` makes it."""
    return isinstance(module, torch.fx.GraphModule) and any(
        isinstance(node.target, torch._ops.OpOverload) for node in module.graph.nodes
    )


def closed_parts(module: nn.Module) -> dict[str, nn.Module]:
    """Return the outermost TorchScript and exported parts of a network, by name."""
    found: dict[str, nn.Module] = {}
    for name, each in module.named_modules():
        if name and not _owner(found, name) and (is_script(each) or is_exported(each)):
            found[name] = each
    return found


def open_layers(module: nn.Module) -> dict[nn.Module, str]:
    """Return the names of the submodules that run hooks: all but those inside closed parts."""
    closed = closed_parts(module)
    return {
        each: name for name, each in module.named_modules() if name and not _owner(closed, name)
    }


def describe_closed(record: Trace, name: str = "") -> str:
    """Return a sentence about the closed part that holds a layer, or else about the first one.

    It is empty if there is none.
    """
    closed = closed_parts(record.module)
    part = _owner(closed, name) or ("" if name else next(iter(closed), ""))
    if not part:
        return ""
    return (
        f" Inside {part!r}, which is {_kind(closed[part])}, no layers can be looked at: put the "
        "nn.Module that it was made from in its place."
    )


def check_closed_parts(record: Trace, chosen: str) -> None:
    """Refuse a layer if a closed part after it makes the features that enter the head.

    Args:
        record: The trace.
        chosen: The layer's name.

    Raises:
        LayerError: If there is such a part.
    """
    closed = closed_parts(record.module)
    last = max((call.end for call in record.calls if call.name == chosen), default=-1)
    for call in record.calls:
        if call.name in closed and call.start > last and _makes_features(call):
            raise LayerError(
                f"the features that enter the head are inside {call.name!r}, which is "
                f"{_kind(call.module)}: put the nn.Module that it was made from in its place, or "
                f"look at an earlier layer with target_layer={chosen!r}"
            )


def _owner(closed: dict[str, nn.Module], name: str) -> str:
    """Return the closed part that a layer is inside of, empty if there is none."""
    return next((part for part in closed if name.startswith(f"{part}.")), "")


def _kind(module: nn.Module) -> str:
    return "an exported graph" if is_exported(module) else "TorchScript"


def _makes_features(call: LayerCall) -> bool:
    module: Any = call.module
    code = str(module.graph if is_exported(module) else module.inlined_graph)
    return any(word in code for word in CONVOLUTIONS) or all(word in code for word in ATTENTION)
