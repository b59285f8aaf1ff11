"""The precision in which networks compute."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Literal, TypeAlias, cast, get_args

from effcam.errors import ArgumentError

if TYPE_CHECKING:
    import torch
    from torch import nn

Precision: TypeAlias = Literal["fp32", "bf16", "fp16"]

AskedPrecision: TypeAlias = Literal["fp32", "bf16", "fp16", "auto"]
"""What may be asked for: ``"auto"`` is decided on the first images of each model."""

HALVES = {"bf16": "bfloat16", "fp16": "float16"}
"""torch's names of the types for autocast."""


def check_precision(precision: object) -> AskedPrecision:
    """Return the precision that was asked for.

    Raises:
        ArgumentError: If it is unknown.
    """
    known = get_args(AskedPrecision)
    if not (isinstance(precision, str) and precision in known):
        raise ArgumentError(f"precision must be one of {', '.join(known)}, not {precision!r}")
    return cast("AskedPrecision", precision)


def undecided(precision: AskedPrecision) -> Precision:
    """Return the precision of passes before ``"auto"`` is decided: that of the weights."""
    return "fp32" if precision == "auto" else precision


def cast_weights(module: nn.Module, precision: Precision) -> None:
    """Give the weights of convolutions and linear layers the type in which they are multiplied.

    autocast would do so in every pass. Layers with hooks or computed weights stay as they are.

    Args:
        module: The network; nobody else may use it.
        precision: The precision; nothing is done for ``"fp32"``.
    """
    import torch
    from torch import nn

    if precision == "fp32":
        return
    for each in module.modules():
        if type(each) in (nn.Conv2d, nn.Linear) and not (
            each._forward_hooks or each._forward_pre_hooks
        ):
            each.to(getattr(torch, HALVES[precision]))


def computing(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Return a context in which networks on a device compute in a precision.

    A caller's own autocast has no effect in it.
    """
    import torch

    if precision == "fp32":
        ambient = torch.is_autocast_enabled(device.type)
        return torch.autocast(device.type, enabled=False) if ambient else nullcontext()
    return torch.autocast(device.type, getattr(torch, HALVES[precision]))
