"""Reduce maps of a network's input to cells that divide it evenly."""

from __future__ import annotations

from torch import Tensor, nn


def reduce_pixels(pixels: Tensor, resolution: int) -> Tensor:
    """Return the mean of (B, H, W) values over cells, (B, h, w).

    Args:
        pixels: The values.
        resolution: The most rows and columns; of a map that is not square, those of the longer
            side.
    """
    height, width = pixels.shape[1:]
    shrink = min(1.0, resolution / max(height, width))
    size = (max(1, round(height * shrink)), max(1, round(width * shrink)))
    return nn.functional.adaptive_avg_pool2d(pixels[:, None], size)[:, 0]
