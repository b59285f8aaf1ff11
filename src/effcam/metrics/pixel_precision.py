"""Pixel average precision: heat as a guess at the object's pixels.

Source: Choe et al. 2020, arXiv:2007.04178.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from effcam.cam.heat_boxes import scale
from effcam.errors import ArgumentError
from effcam.metrics.localisation import check_heat

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

LEVELS = 128
"""The number of levels into which a map's range is divided."""


def pixel_average_precision(
    heats: Sequence[ArrayLike],
    masks: Sequence[ArrayLike],
    *,
    ignored: Sequence[ArrayLike | None] | None = None,
) -> float:
    """Return the average precision of heat as a guess at the object's pixels, in [0, 1].

    The pixels of all images count together (PxAP); each map is scaled to its own range and divided
    into 128 levels. Source: Choe et al. 2020, arXiv:2007.04178.

    Args:
        heats: One (height, width) map an image.
        masks: (height, width) bool each, true on the object.
        ignored: (height, width) bool each, true where the mask is undecided; ``None`` is nowhere.

    Raises:
        ArgumentError: If there is no image, or shapes do not fit.

    >>> pixel_average_precision([[[0, 1]]], [[[False, True]]])
    1.0
    """
    unknown = [None] * len(heats) if ignored is None else ignored
    if not len(heats) == len(masks) == len(unknown) > 0:
        raise ArgumentError(f"give one mask per image, not {len(masks)} for {len(heats)} images")
    levels = sum(map(pixel_levels, heats, masks, unknown))
    return float(average_precision(np.asarray(levels)))


def pixel_levels(
    heat: ArrayLike, mask: ArrayLike, ignored: ArrayLike | None = None
) -> NDArray[np.int64]:
    """Return the numbers of pixels off and on the object by level of heat: (..., 2, 128).

    Args:
        heat: (..., height, width).
        mask: (height, width) bool, true on the object.
        ignored: (height, width) bool, true where the mask is undecided; ``None`` is nowhere.
    """
    values, inside = check_heat(heat, (), mask)
    maps = values.reshape(-1, *values.shape[-2:])
    level = scale(maps, LEVELS).astype(np.intp)
    np.minimum(level, LEVELS - 1, out=level)
    level += LEVELS * (inside > 0)
    level += 2 * LEVELS * np.arange(len(maps))[:, None, None]
    counted = level.ravel() if ignored is None else level[:, ~np.asarray(ignored, bool)].ravel()
    counts = np.bincount(counted, minlength=2 * LEVELS * len(maps))
    return counts.reshape(*values.shape[:-2], 2, LEVELS)


def average_precision(levels: NDArray[np.number]) -> NDArray[np.float64]:
    """Return the average precision, given (..., 2, levels) counts off and on the object.

    It is NaN if no pixel is on the object.
    """
    off, on = np.moveaxis(np.cumsum(levels[..., ::-1], axis=-1, dtype=np.float64), -2, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(on + off > 0, on / (on + off), 0)
        recall = on / on[..., -1:]
    steps = recall.copy()
    steps[..., 1:] -= recall[..., :-1]
    return np.asarray((steps * precision).sum(-1))
