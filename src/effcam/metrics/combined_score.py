"""ARCC: one figure of whether maps are coherent and small, and order pixels by their effect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from effcam.errors import ArgumentError
from effcam.metrics.confidence_change import masked
from effcam.metrics.input_stability import Explain, maps_of
from effcam.metrics.perturbation import Predict, check_targets
from effcam.metrics.ranking import correlation
from effcam.metrics.road_imputation import NOISE, road

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor

REMOVED = (0.2, 0.4, 0.6, 0.8)
"""The shares of the pixels that ROAD removes for ARCC."""


def arcc(
    predict: Predict,
    explain: Explain,
    images: Tensor,
    heats: Tensor,
    targets: Sequence[int],
    *,
    removed: Sequence[float] = REMOVED,
    noise: float = NOISE,
) -> NDArray[np.float64]:
    """Return the harmonic mean of coherency, 1 - complexity, and ROAD of maps.

    Coherency is `coherency` with the map of the image multiplied by the map; complexity is the
    mean heat; and ROAD, in [-0.5, 0.5], is doubled, and 0 if negative. Source: Domeniconi et al.
    2026, arXiv:2605.14641. The mean is harmonic as in its model, the ADCC of Poppi et al. 2021,
    arXiv:2104.10252, and in grad-cam's code (whose text says geometric): one part near 0 makes the
    whole nearly 0. The parts themselves say more.

    Args:
        predict: Returns the probabilities of images.
        explain: Returns the maps of images, (B, height, width), for the targets.
        images: (B, channels, height, width).
        heats: (B, height, width) in [0, 1].
        targets: (B,) the class of each image.
        removed: The shares of the pixels that ROAD removes, in (0, 1).
        noise: The standard deviation of the noise in pixels that ROAD fills in, normalised units.

    Returns:
        (B,) in [0, 1]; NaN if a map is constant, that of the image or that of the masked image.

    Raises:
        ArgumentError: If an argument is impossible, or the maps do not fit the images.
    """
    check_targets(images, heats, targets)
    if bool(((heats < 0) | (heats > 1)).any()):
        raise ArgumentError("heats must be scaled to [0, 1]: their mean is a part of the score")
    after = maps_of(explain, masked(images, heats)).numpy()
    own = heats.detach().double().cpu().numpy()
    depends = np.clip(2 * road(predict, images, heats, targets, removed=removed, noise=noise), 0, 1)
    parts = np.stack([coherency(own, after), 1 - own.mean((1, 2)), depends])
    with np.errstate(divide="ignore"):  # a part of 0 makes the mean 0
        return np.asarray(3 / (1 / parts).sum(0))


def coherency(heats: ArrayLike, after: ArrayLike) -> NDArray[np.float64]:
    """Return how alike maps are to those of their images multiplied by them, in [0, 1].

    It is Pearson's correlation r of the two maps, as (r + 1) / 2: 0.5 for unrelated maps. Source:
    Poppi et al. 2021, arXiv:2104.10252.

    Args:
        heats: (..., height, width), the maps.
        after: Likewise, the maps of the images multiplied by them.

    Returns:
        (...), NaN if one of the two maps is constant.

    Raises:
        ArgumentError: If the shapes differ or are no maps.

    >>> coherency([[[0, 1], [2, 3]]], [[[3, 2], [1, 0]]]).tolist()
    [0.0]
    """
    first, second = np.asarray(heats, np.float64), np.asarray(after, np.float64)
    if first.shape != second.shape or first.ndim < 2 or not first.size:
        raise ArgumentError(
            "two maps to compare must have one shape, (..., height, width), not "
            f"{first.shape} and {second.shape}"
        )
    one, other = (each.reshape(*each.shape[:-2], -1) for each in (first, second))
    vary = (np.ptp(one, axis=-1) > 0) & (np.ptp(other, axis=-1) > 0)
    return np.asarray(np.where(vary, (correlation(one, other) + 1) / 2, np.nan))
