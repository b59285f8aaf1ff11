"""Decide whether tensors that were computed in two ways are equal but for rounding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def is_close(found: Tensor, wanted: Tensor, within: float) -> bool:
    """Return whether a tensor is another one but for rounding.

    Floats may differ by a share of the largest absolute value that is wanted. A value that is not
    finite is close to none, not even to itself: nobody can say how far it is off. Whole numbers and
    truth values have to be the same. Tensors without values are the same if their shapes are.

    Args:
        found: The tensor.
        wanted: The other one, on the same device.
        within: The share.

    >>> import torch
    >>> wanted = torch.tensor([1.0, 100.0])
    >>> is_close(wanted + 0.05, wanted, 1e-3), is_close(wanted + 0.2, wanted, 1e-3)
    (True, False)
    """
    import torch

    if found.shape != wanted.shape:
        return False
    if not wanted.numel():
        return True
    if not (wanted.is_floating_point() or wanted.is_complex()):
        return bool((found == wanted).all())
    kind = torch.promote_types(wanted.dtype, torch.float32)  # half precision overflows
    found, wanted = found.detach().to(kind), wanted.detach().to(kind)
    largest = wanted.abs().max()
    return bool(largest.isfinite() and (found - wanted).abs().max() <= within * largest)


def are_close(found: Sequence[Tensor], wanted: Sequence[Tensor], within: float) -> bool:
    """Return whether as many tensors as wanted are the same in turn but for rounding.

    Args:
        found: The tensors.
        wanted: The others.
        within: As in `is_close`, of each tensor's own largest value.
    """
    return len(found) == len(wanted) and all(
        is_close(one, other, within) for one, other in zip(found, wanted, strict=True)
    )
