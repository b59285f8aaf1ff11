"""Maps of a network's input: values of its pixels, pooled to cells that divide it evenly."""

from __future__ import annotations

import torch
from torch import Tensor

from effcam.cam.methods.subject import Subject

INPUT = "input"
"""What such maps are computed from, in captions."""


def grid_of(subject: Subject) -> tuple[int, int]:
    """Return the rows and columns of a map of the input that a subject's options ask for."""
    height, width = subject.images.shape[2:]
    return divide((height, width), subject.options.resolution)


def divide(size: tuple[int, int], most: int) -> tuple[int, int]:
    """Return into how many rows and columns of about square cells an input is divided.

    Args:
        size: The input's height and width in pixels.
        most: The most rows and columns.

    >>> divide((224, 224), 56), divide((1024, 768), 56), divide((32, 48), 56)
    ((56, 56), (56, 42), (32, 48))
    """
    height, width = size
    shrink = min(1.0, most / max(size))
    return max(1, round(height * shrink)), max(1, round(width * shrink))


def pool_mean(pixels: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return the mean of (n, H, W) values over each cell of a grid, (n, h, w).

    A pixel that lies in two cells counts for each by the share that lies in it, so that the cells
    are all of one size, also where the grid does not divide the pixels.
    """
    down, across = (
        _shares(pixels.shape[side - 2], cells).to(pixels) for side, cells in enumerate(grid)
    )
    return down @ pixels @ across.T


def pool_sum(pixels: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return the sum of (n, H, W) values over each cell of a grid, (n, h, w).

    The cells add up to what the pixels add up to.
    """
    area = pixels[0].numel() / (grid[0] * grid[1])
    return pool_mean(pixels, grid) * area


def _shares(pixels: int, cells: int) -> Tensor:
    """Return (cells, pixels) float64: by how much each pixel counts in the mean of each cell."""
    edges = torch.arange(cells + 1, dtype=torch.float64) * pixels / cells
    at = torch.arange(pixels, dtype=torch.float64)
    begin = torch.maximum(edges[:-1, None], at)
    end = torch.minimum(edges[1:, None], at + 1)
    return (end - begin).clamp(min=0) * cells / pixels
