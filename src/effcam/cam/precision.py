"""The precision in which networks compute."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

from effcam.errors import ArgumentError

if TYPE_CHECKING:
    import torch

Precision: TypeAlias = Literal["fp32", "bf16", "fp16"]

HALVES = {"bf16": "bfloat16", "fp16": "float16"}
"""torch's names of the types for autocast."""


def check_precision(precision: object) -> Precision:
    """Return the precision.

    Raises:
        ArgumentError: If it is unknown.
    """
    if precision != "fp32" and precision not in HALVES:
        raise ArgumentError(
            f"precision must be one of fp32, {', '.join(HALVES)}, not {precision!r}"
        )
    return cast("Precision", precision)


def computing(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Return a context in which networks on a device compute in a precision.

    A caller's own autocast has no effect in it.
    """
    import torch

    if precision == "fp32":
        ambient = torch.is_autocast_enabled(device.type)
        return torch.autocast(device.type, enabled=False) if ambient else nullcontext()
    return torch.autocast(device.type, getattr(torch, HALVES[precision]))
