"""The concentration of heat: figures of one map, on samples of equal area.

Every function takes maps in the last two dimensions, ``(..., height, width)`` of numbers >= 0, and
returns one number per map, NaN if a map has no heat. ``area`` is the number of such samples in the
whole image, if the map covers only a part of it: the rest has no heat.

A coarse grid cannot be as concentrated as a fine one: a point of heat fills a cell. `match`
resamples maps of several grids at one resolution, so that these figures compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from effcam.errors import ArgumentError
from effcam.images.geometry import interpolation

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

SAMPLES = 32
"""The samples per side into which `match` divides a map of up to 16 cells per side."""
FINER = 4
"""Each sample is the mean of 4 x 4 points, so that no heat is lost between samples."""
# Cell averages spread a point by a box of one cell, linear interpolation by a triangle: variances
# of 1/12 and 1/6 of a squared cell.
BLUR_OF_A_CELL = 1 / 12 + 1 / 6


def effective_area(heat: ArrayLike, *, area: ArrayLike | None = None) -> NDArray[np.float64]:
    """Return the share of the image over which heat spreads, in (0, 1].

    It is the exponential of the entropy of the heat, taken as a density, divided by the area: 1
    for uniform heat, 1 / n for heat in one of n samples. Entropy as an effective number: Hill
    1973, doi:10.2307/1934352.

    Args:
        heat: (..., height, width), >= 0.
        area: The image's area in samples, one number or one per map; ``None`` is the map's.

    Raises:
        ArgumentError: If heat is negative or not finite, or the area is not positive.

    >>> float(effective_area([[1, 1], [0, 0]]))
    0.5
    """
    values, total = _flat(heat, area)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = values / values.sum(-1, keepdims=True)
        entropy = -np.where(shares > 0, shares * np.log(shares), shares).sum(-1)
    return np.asarray(np.exp(entropy) / total)


def gini(heat: ArrayLike, *, area: ArrayLike | None = None) -> NDArray[np.float64]:
    """Return the Gini index of the heat over the image, in [0, 1): 0 is uniform, 1 is one point.

    As a measure of sparsity: Hurley and Rickard 2009, arXiv:0811.4706.

    Args:
        heat: (..., height, width), >= 0.
        area: The image's area in samples, one number or one per map; ``None`` is the map's.

    Raises:
        ArgumentError: If heat is negative or not finite, or the area is not positive.

    >>> float(gini([[0, 0], [0, 1]]))
    0.75
    """
    values, total = _flat(heat, area)
    ordered = np.sort(values, axis=-1)
    # The part outside the map comes first, with the other samples that have no heat.
    rank = np.arange(1, ordered.shape[-1] + 1) + (total - ordered.shape[-1])[..., None]
    with np.errstate(invalid="ignore"):
        mean_rank = (ordered * rank).sum(-1) / ordered.sum(-1)
    return np.asarray((2 * mean_rank - (total + 1)) / total)


def half_mass_area(heat: ArrayLike, *, area: ArrayLike | None = None) -> NDArray[np.float64]:
    """Return the smallest share of the image that holds half of the heat, in (0, 0.5].

    Args:
        heat: (..., height, width), >= 0.
        area: The image's area in samples, one number or one per map; ``None`` is the map's.

    Raises:
        ArgumentError: If heat is negative or not finite, or the area is not positive.

    >>> float(half_mass_area([[1, 1], [1, 1]])), float(half_mass_area([[0, 0], [0, 1]]))
    (0.5, 0.125)
    """
    values, total = _flat(heat, area)
    held = np.cumsum(-np.sort(-values, axis=-1), axis=-1)
    half = held[..., -1:] / 2
    enough = (held >= half).argmax(-1)[..., None]
    upper = np.take_along_axis(held, enough, -1)
    lower = np.where(enough > 0, np.take_along_axis(held, np.maximum(enough - 1, 0), -1), 0)
    with np.errstate(invalid="ignore"):
        samples = enough + (half - lower) / (upper - lower)
    return np.asarray(samples[..., 0] / total)


def count_samples(grid: Sequence[int]) -> int:
    """Return the samples per side into which `match` divides maps of a grid.

    They are 32, or twice the number of cells per side if that is more.
    """
    return max(SAMPLES, 2 * max(grid))


def match(
    heatmaps: NDArray[np.floating],
    cell: tuple[float, float] | None = None,
    *,
    samples: int | None = None,
) -> NDArray[np.float64]:
    """Return maps on evenly spaced samples, as blurred as the maps of a coarser grid.

    A map is interpolated bilinearly, and then smoothed by a Gaussian: its variance is the
    difference between the blur of a cell of the coarser grid and of a cell of the map.

    Args:
        heatmaps: (n, h, w), >= 0, all of one grid.
        cell: Height and width of the coarser grid's cells, as shares of the area of the maps; if
            these cells are the finer ones, or for ``None``, the maps are not smoothed.
        samples: The samples per side; ``None`` is 32, or twice the cells if that is more.

    Returns:
        (n, samples, samples), >= 0. The sum over a map equals that of its cells, each times its
        area in samples.
    """
    tall, wide = cell or (0.0, 0.0)
    count = samples or count_samples(heatmaps.shape[1:])
    down = _spread(heatmaps.shape[1], round(float(tall), 6), count)
    across = _spread(heatmaps.shape[2], round(float(wide), 6), count)
    return np.asarray(down @ heatmaps.astype(np.float64) @ across.T)


@lru_cache(maxsize=256)
def _spread(cells: int, cell: float, samples: int) -> NDArray[np.float64]:
    """Return the (samples, cells) weights that resample a row of cells."""
    places = FINER * samples
    dense, _ = interpolation(0.0, places, cells, places)
    weights = dense.astype(np.float64).reshape(samples, FINER, cells).mean(1)
    variance = BLUR_OF_A_CELL * max(cell**2 - 1 / cells**2, 0) * samples**2
    if variance == 0:
        return np.asarray(weights)
    # Mirror the edges, so that no heat is lost there.
    place = np.arange(samples) + 0.5
    mirrors = np.concatenate([place, -place, 2 * samples - place])
    gauss = np.exp(-((place[:, None] - mirrors) ** 2) / (2 * variance))
    kernel = gauss.reshape(samples, 3, samples).sum(1)
    return np.asarray(kernel / kernel.sum(0) @ weights)


def _flat(
    heat: ArrayLike, area: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (..., samples) heat, and the number of samples of each image."""
    values = np.asarray(heat, np.float64)
    if values.ndim < 2 or not values.size:
        raise ArgumentError(f"heat must be (..., height, width), not of shape {values.shape}")
    if not np.isfinite(values).all() or values.min() < 0:
        raise ArgumentError("heat must be finite and >= 0")
    flat = values.reshape(*values.shape[:-2], -1)
    total = np.asarray(flat.shape[-1] if area is None else area, np.float64)
    if not (total > 0).all():
        raise ArgumentError(f"area must be a number of samples above 0, not {area!r}")
    return flat, total
