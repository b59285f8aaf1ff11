"""Make one map of the maps of several target layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from effcam.cam.methods.options import Fuse

SMALLEST_WEIGHT = 0.1
"""The weight of the layer of least importance, as in Winsor-CAM; a layer of none has 0."""
PERCENTILE = 80
"""Where `winsor` cuts the importance of layers off, in percent."""


def fuse(maps: Sequence[Tensor], how: Fuse, importance: Sequence[Tensor] | None = None) -> Tensor:
    """Return one (B, h, w) map of several layers' maps, at the finest one's resolution.

    Args:
        maps: (B, h, w) for each layer, with negative evidence.
        how: ``"sum"``, ``"product"`` or ``"winsor"``.
        importance: (B,) for each layer, its importance for each image: the mean weight of its
            channels. ``None`` for the mean of its map. Only ``"winsor"`` needs it.
    """
    if len(maps) == 1:
        return maps[0]
    if how == "winsor":
        return _winsor(maps, importance or [each.clamp(min=0).mean((1, 2)) for each in maps])
    return _FUSIONS[how](maps)


def _add(maps: Sequence[Tensor]) -> Tensor:
    """Return the sum of maps as densities.

    A cell holds the evidence for the part of the image that it covers, so a coarse map is
    spread as a density: its sum over the image does not change.
    """
    finest = _finest(maps)
    total = finest.new_zeros(finest.shape)
    for each in maps:
        total += each[0].numel() / finest[0].numel() * _resize(each, finest)
    return total


def _multiply(maps: Sequence[Tensor]) -> Tensor:
    """Return the product of maps, each scaled to [0, 1]: RefineCAM, arXiv:2605.14641."""
    finest = _finest(maps)
    product = finest.new_ones(finest.shape)
    for each in maps:
        product = product * scaled(_resize(each.clamp(min=0), finest))
    return product


def _winsor(maps: Sequence[Tensor], importance: Sequence[Tensor]) -> Tensor:
    """Return the mean of maps, weighted by their layers' importance, without its extremes.

    Wall et al. 2025, arXiv:2507.10846: importance above a percentile of the layers' is reduced to
    it, then scaled to [0.1, 1]; a layer without importance has no weight.
    """
    finest = _finest(maps)
    weights = torch.stack([each.to(finest.device) for each in importance], 1).clamp(min=0)
    some = weights > 0
    known = weights.where(some, torch.nan)
    limit = known.nanquantile(PERCENTILE / 100, dim=1, keepdim=True)
    cut = torch.minimum(known, limit)
    low = cut.nan_to_num(torch.inf).amin(1, keepdim=True)
    high = cut.nan_to_num(-torch.inf).amax(1, keepdim=True)
    share = (cut - low) / (high - low)
    # Where all layers are of equal importance, each has the whole weight.
    share = share.where(high > low, 1)
    weights = (SMALLEST_WEIGHT + (1 - SMALLEST_WEIGHT) * share).where(some, 0)
    total = finest.new_zeros(finest.shape)
    for position, each in enumerate(maps):
        total += weights[:, position, None, None] * scaled(_resize(each.clamp(min=0), finest))
    return total / len(maps)


_FUSIONS: dict[Fuse, Callable[[Sequence[Tensor]], Tensor]] = {"sum": _add, "product": _multiply}


def _finest(maps: Sequence[Tensor]) -> Tensor:
    return max(maps, key=lambda each: each[0].numel())


def _resize(heat: Tensor, finest: Tensor) -> Tensor:
    """Return (B, h, w) maps at the finest map's resolution, on its device."""
    return nn.functional.interpolate(
        heat[:, None].to(finest.device), size=finest.shape[1:], mode="bilinear"
    ).squeeze(1)


def scaled(heat: Tensor) -> Tensor:
    """Return (B, h, w) maps scaled to [0, 1], each by its own range; 0 for a flat one.

    A map with a value that is not finite is NaN.
    """
    low, high = heat.amin((1, 2), keepdim=True), heat.amax((1, 2), keepdim=True)
    return ((heat - low) / (high - low)).where(high != low, 0)
