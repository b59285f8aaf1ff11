"""Whether heat lies on the object, given boxes around it or a mask of it.

A map is ``(height, width)`` over the image, >= 0; boxes are in px of the same image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from effcam.errors import ArgumentError
from effcam.images.geometry import Box
from effcam.metrics.ranking import membership

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

POINT_TOLERANCE = 15 / 500
"""The tolerance of the pointing game: 15 px for photos whose longer side has 500 px."""
CENTRE_SPREAD = 0.25
"""The standard deviations of the centre baseline, as shares of the sides."""


def coverage(boxes: Sequence[Box], width: int, height: int) -> NDArray[np.float64]:
    """Return the share of each pixel that lies in one of the boxes: (height, width) in [0, 1]."""
    across = np.unique([edge for box in boxes for edge in (box.left, box.right)])
    down = np.unique([edge for box in boxes for edge in (box.top, box.bottom)])
    # Cells between neighbouring edges are inside or outside; overlapping boxes count once.
    inside = np.zeros((max(len(down) - 1, 0), max(len(across) - 1, 0)))
    for box in boxes:
        rows = (box.top <= down[:-1]) & (down[1:] <= box.bottom)
        columns = (box.left <= across[:-1]) & (across[1:] <= box.right)
        inside[np.ix_(rows, columns)] = 1
    return np.asarray(_overlap(down, height) @ inside @ _overlap(across, width).T)


def pointing_game(
    heat: ArrayLike,
    *,
    boxes: Sequence[Box] = (),
    mask: ArrayLike | None = None,
    tolerance: float | None = None,
) -> NDArray[np.bool_]:
    """Return whether the hottest pixel lies on the object, within a tolerance.

    Of several hottest pixels, the first in reading order counts; a constant map is a miss. Source:
    Zhang et al. 2016, arXiv:1608.00507.

    Args:
        heat: (..., height, width).
        boxes: Boxes around the object, px.
        mask: (height, width), true on the object; instead of boxes.
        tolerance: The largest distance of the pixel's centre from a box, or from the centre of a
            pixel of the mask, px; ``None`` is 15 px for an image whose longer side has 500 px, as
            in the paper, and in proportion for others.

    Raises:
        ArgumentError: If neither boxes nor a mask are given, or both, or the shapes do not fit.

    >>> bool(pointing_game([[0, 0], [0, 1]], boxes=[Box(1, 1, 2, 2)], tolerance=0))
    True
    """
    values, _ = check_heat(heat, boxes, mask)
    height, width = values.shape[-2:]
    near = reachable(width, height, boxes=boxes, mask=mask, tolerance=tolerance)
    return hits(values, near)


def reachable(
    width: int,
    height: int,
    *,
    boxes: Sequence[Box] = (),
    mask: ArrayLike | None = None,
    tolerance: float | None = None,
) -> NDArray[np.bool_]:
    """Return which pixels hit in the `pointing_game`: (height, width) bool.

    Their share is the hit rate of a random point.
    """
    reach = max(width, height) * POINT_TOLERANCE if tolerance is None else tolerance
    if mask is not None:
        inside = np.asarray(mask) > 0
        far = ndimage.distance_transform_edt(~inside) if inside.any() else np.inf
        return np.broadcast_to(far <= reach, inside.shape)
    near = np.zeros((height, width), bool)
    for box in boxes:
        across = _beyond(box.left, box.right, width) ** 2
        near |= across + _beyond(box.top, box.bottom, height)[:, None] ** 2 <= reach**2
    return near


def hits(heat: NDArray[np.floating], near: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return whether the hottest pixel of each (..., height, width) map is one of those near."""
    flat = heat.reshape(*heat.shape[:-2], -1)
    hottest = flat.argmax(-1)
    return np.asarray(near.ravel()[hottest] & (flat.max(-1) > flat.min(-1)))


def energy_pointing_game(
    heat: ArrayLike, *, boxes: Sequence[Box] = (), mask: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Return the share of the heat that lies on the object, in [0, 1]; NaN without any heat.

    Source: Wang et al. 2020 (Score-CAM), arXiv:1910.01279. For heat >= 0 it is the relevance mass
    accuracy of Arras et al. 2022, arXiv:2003.07258.

    Args:
        heat: (..., height, width), >= 0.
        boxes: Boxes around the object, px; a pixel counts by the share of it that lies in them.
        mask: (height, width), the share of each pixel that is on the object, or bool; instead of
            boxes.

    Raises:
        ArgumentError: If neither boxes nor a mask are given, or both, or the shapes do not fit, or
            heat is negative.

    >>> float(energy_pointing_game([[1, 1], [0, 2]], boxes=[Box(1, 0, 2, 2)]))
    0.75
    """
    values, inside = _check_mass(heat, boxes, mask)
    flat = values.reshape(*values.shape[:-2], -1)
    with np.errstate(invalid="ignore"):
        return np.asarray(flat @ inside.ravel().astype(flat.dtype) / flat.sum(-1), np.float64)


def relevance_rank_accuracy(
    heat: ArrayLike, *, boxes: Sequence[Box] = (), mask: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Return the share of the hottest pixels that lies on the object, in [0, 1].

    They are as many as the object has; pixels that tie for the last places count in equal parts. A
    pixel that the edge of a box cuts counts by its share, so that 1 is only reached by boxes of
    whole pixels. Source: Arras et al. 2022 (CLEVR-XAI), arXiv:2003.07258.

    Args:
        heat: (..., height, width).
        boxes: Boxes around the object, px; a pixel counts by the share of it that lies in them.
        mask: (height, width), the share of each pixel that is on the object, or bool; instead of
            boxes.

    Returns:
        (...) in [0, 1], NaN for a constant map, or if the object has no pixel.

    Raises:
        ArgumentError: If neither boxes nor a mask are given, or both, or the shapes do not fit.

    >>> float(relevance_rank_accuracy([[1, 3], [0, 2]], boxes=[Box(0, 0, 2, 1)]))
    0.5
    """
    values, inside = check_heat(heat, boxes, mask)
    flat = values.reshape(*values.shape[:-2], -1).astype(np.float64)
    count = float(inside.sum())
    if not count > 0:
        return np.full(flat.shape[:-1], np.nan)
    # The sum of shares may exceed the number of pixels by rounding.
    hottest = membership(flat, min(count, flat.shape[-1]))
    varies = (flat.max(-1) > flat.min(-1)) & np.isfinite(flat).all(-1)
    return np.asarray(np.where(varies, hottest @ inside.ravel() / count, np.nan))


def mass_area_ratio(
    heat: ArrayLike, *, boxes: Sequence[Box] = (), mask: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Return how many times denser heat is on the object than over the whole image, >= 0.

    It is the share of the heat on the object divided by the object's share of the image: 1 for
    uniform heat, NaN without any heat or if the object has no pixel.

    Args:
        heat: (..., height, width), >= 0.
        boxes: Boxes around the object, px; a pixel counts by the share of it that lies in them.
        mask: (height, width), the share of each pixel that is on the object, or bool; instead of
            boxes.

    Raises:
        ArgumentError: If neither boxes nor a mask are given, or both, or the shapes do not fit, or
            heat is negative.

    >>> float(mass_area_ratio([[1, 1], [0, 2]], boxes=[Box(1, 1, 2, 2)]))
    2.0
    """
    values, inside = _check_mass(heat, boxes, mask)
    share = inside.mean()
    return energy_pointing_game(values, mask=inside) / (share if share > 0 else np.nan)


def centre_map(width: int, height: int) -> NDArray[np.float32]:
    """Return the centre baseline: (height, width) float32 in (0, 1].

    It is a Gaussian in the middle, whose standard deviations are a quarter of the sides.
    """
    across, down = (
        np.exp(-((((np.arange(side) + 0.5) / side - 0.5) / CENTRE_SPREAD) ** 2) / 2)
        for side in (width, height)
    )
    return np.outer(down, across).astype(np.float32)


def _beyond(start: float, stop: float, pixels: int) -> NDArray[np.float64]:
    """Return the distance of each pixel's centre from an interval, px; 0 inside."""
    centres = np.arange(pixels) + 0.5
    return np.asarray(np.maximum(np.maximum(start - centres, centres - stop), 0))


def _overlap(edges: NDArray[np.float64], pixels: int) -> NDArray[np.float64]:
    """Return the share of each pixel of a line between neighbouring edges: (pixels, edges - 1)."""
    start = np.arange(pixels)[:, None]
    between = np.minimum(edges[1:], start + 1) - np.maximum(edges[:-1], start)
    return np.asarray(np.clip(between, 0, None))


def _check_mass(
    heat: ArrayLike, boxes: Sequence[Box], mask: ArrayLike | None
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return what `check_heat` returns; refuse negative heat, which has no share of the whole."""
    values, inside = check_heat(heat, boxes, mask)
    if (values < 0).any():
        raise ArgumentError("heat must be >= 0: the share of negative heat means nothing")
    return values, inside


def check_heat(
    heat: ArrayLike, boxes: Sequence[Box], mask: ArrayLike | None
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return maps as floats, and the share of each pixel that is on the object."""
    values = np.asarray(heat)
    if not np.issubdtype(values.dtype, np.floating):
        values = values.astype(np.float64)
    if values.ndim < 2 or not values.size:
        raise ArgumentError(f"heat must be (..., height, width), not of shape {values.shape}")
    if bool(boxes) == (mask is not None):
        raise ArgumentError("give either boxes around the object or a mask of it")
    height, width = values.shape[-2:]
    if mask is None:
        return values, coverage(boxes, width, height)
    inside = np.asarray(mask, np.float64)
    if inside.shape != (height, width):
        raise ArgumentError(f"the mask's shape is {inside.shape}, the map's {(height, width)}")
    return values, inside
