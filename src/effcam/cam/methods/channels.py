"""Which channels of a layer are used, and what each contributes."""

from __future__ import annotations

import torch
from torch import Tensor


def strongest(activations: Tensor, most: int | None) -> Tensor:
    """Return the channels of the highest mean positive activation of each image, in order.

    Args:
        activations: (B, C, h, w).
        most: How many; ``None``, or more than there are, for all.

    Returns:
        (B, k) int64 indices of channels.
    """
    images, channels = activations.shape[:2]
    if most is None or most >= channels:
        return torch.arange(channels, device=activations.device).repeat(images, 1)
    means = activations.clamp(min=0).mean((2, 3))
    # Of equal ones the first, in a batch as alone.
    order = means.argsort(dim=1, descending=True, stable=True)
    return order[:, :most].sort(dim=1).values


def weigh(weights: Tensor, channels: Tensor, activations: Tensor) -> Tensor:
    """Return (B, C, h, w) activations, each channel multiplied by its weight in that image.

    Args:
        weights: (B, k), those of some channels.
        channels: (B, k) int64, their indices; all others have weight 0.
        activations: (B, C, h, w).
    """
    # A network may lie on several devices.
    factors = activations.new_zeros(activations.shape[:2])
    factors.scatter_(1, channels.to(factors.device), weights.to(factors))
    return factors[:, :, None, None] * activations
