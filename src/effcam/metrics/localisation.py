"""How far heat lies on the object, given boxes around it or a mask of it.

A map is ``(height, width)`` over the image, >= 0; boxes are in px of the same image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from effcam.cam.heat_boxes import part_ious, scale
from effcam.errors import ArgumentError
from effcam.images.geometry import Box

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

POINT_TOLERANCE = 15 / 500
"""Of the pointing game: 15 px for photos of Pascal VOC, whose longer side has 500 px."""
THRESHOLDS = tuple(step / 20 for step in range(20))
"""The shares of a map's range above which heat is boxed: 0 to 0.95."""
OVERLAPS = (0.3, 0.5, 0.7)
LEVELS = 128
"""Into how many levels pixel average precision divides a map's range."""
CENTRE_SPREAD = 0.25
"""The standard deviations of the centre baseline, as shares of the sides."""


def coverage(boxes: Sequence[Box], width: int, height: int) -> NDArray[np.float64]:
    """Return which share of each pixel lies in one of the boxes: (height, width) in [0, 1]."""
    across = np.unique([edge for box in boxes for edge in (box.left, box.right)])
    down = np.unique([edge for box in boxes for edge in (box.top, box.bottom)])
    # Between two edges all is in a box or all outside, so that boxes which overlap count once.
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
    """Return whether the hottest pixel lies on the object, or almost: Zhang et al. 2016.

    Source: arXiv:1608.00507. Of several hottest pixels the first in reading order counts; a map
    that is the same everywhere points nowhere, and misses.

    Args:
        heat: (..., height, width).
        boxes: Boxes around the object, px.
        mask: (height, width), true on the object; instead of boxes.
        tolerance: How far the pixel's centre may lie from a box, or from the centre of a pixel of
            the mask, px; ``None`` is 15 px for an image whose longer side has 500 px, as in the
            paper, and in proportion for others.

    Raises:
        ArgumentError: If neither boxes nor a mask are given, or both, or the shapes do not fit.

    >>> bool(pointing_game([[0, 0], [0, 1]], boxes=[Box(1, 1, 2, 2)], tolerance=0))
    True
    """
    values, _ = _check(heat, boxes, mask)
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

    Their share is how often a point at random hits.
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

    Source: Wang et al. 2020 (Score-CAM), arXiv:1910.01279.

    Args:
        heat: (..., height, width), >= 0.
        boxes: Boxes around the object, px; a pixel counts as far as it lies in them.
        mask: (height, width), true on the object, or how far a pixel lies on it; instead of boxes.

    Raises:
        ArgumentError: If neither boxes nor a mask are given, or both, or the shapes do not fit.

    >>> float(energy_pointing_game([[1, 1], [0, 2]], boxes=[Box(1, 0, 2, 2)]))
    0.75
    """
    values, inside = _check(heat, boxes, mask)
    flat = values.reshape(*values.shape[:-2], -1)
    with np.errstate(invalid="ignore"):
        return np.asarray(flat @ inside.ravel().astype(flat.dtype) / flat.sum(-1), np.float64)


def mass_area_ratio(
    heat: ArrayLike, *, boxes: Sequence[Box] = (), mask: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Return how many times denser heat is on the object than over the whole image, >= 0.

    It is the share of the heat on the object over the object's share of the image: 1 for even
    heat. NaN without any heat, or if the object has no pixel.

    Args:
        heat: (..., height, width), >= 0.
        boxes: Boxes around the object, px; a pixel counts as far as it lies in them.
        mask: (height, width), true on the object, or how far a pixel lies on it; instead of boxes.

    Raises:
        ArgumentError: If neither boxes nor a mask are given, or both, or the shapes do not fit.

    >>> float(mass_area_ratio([[1, 1], [0, 2]], boxes=[Box(1, 1, 2, 2)]))
    2.0
    """
    values, inside = _check(heat, boxes, mask)
    share = inside.mean()
    return energy_pointing_game(values, mask=inside) / (share if share > 0 else np.nan)


def box_ious(
    heat: ArrayLike,
    boxes: Sequence[Box],
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    largest: bool = False,
) -> NDArray[np.float64]:
    """Return how well boxes around the heat fit the object's, by threshold.

    The map is the surface that interpolates its cells bilinearly. Where it is at or above a
    threshold it falls into connected parts, each of which has a box; the figure is the best
    intersection over union of one of these with one of the object's.

    Args:
        heat: (height, width).
        boxes: Boxes around the object, px.
        thresholds: Shares of the map's range, in [0, 1].
        largest: Whether the largest part alone counts.

    Raises:
        ArgumentError: If there is no box.

    >>> box_ious([[0, 1], [0, 1]], [Box(1, 0, 2, 2)], thresholds=[0, 0.5]).tolist()
    [0.5, 1.0]
    """
    values, _ = _check(heat, boxes, None)
    if values.ndim != 2:
        raise ArgumentError(f"heat must be (height, width), not of shape {values.shape}")
    height, width = values.shape
    levels = np.asarray(thresholds, values.dtype)[None]
    found = part_ious(
        scale(values)[None], [Box(0, 0, width, height)], [boxes], levels, [(width, height)]
    )
    return np.asarray(found[0, int(largest)])


def max_box_acc(
    heats: Sequence[ArrayLike],
    boxes: Sequence[Sequence[Box]],
    *,
    overlap: float = 0.5,
    thresholds: Sequence[float] = THRESHOLDS,
) -> float:
    """Return the share of images whose object the largest part of the heat boxes, in [0, 1].

    The threshold is the best one for these very images, as in the paper, Choe et al. 2020,
    arXiv:2001.07437. `effcam.Comparison.summary` chooses it on other images.

    Args:
        heats: One (height, width) map an image.
        boxes: The boxes around the object of each, px.
        overlap: The intersection over union from which on a box is right.
        thresholds: Shares of a map's range to try.

    Raises:
        ArgumentError: If there is no image, or not one set of boxes an image.
    """
    return float(max(_hit_rates(heats, boxes, [overlap], thresholds, largest=True)))


def max_box_acc_v2(
    heats: Sequence[ArrayLike],
    boxes: Sequence[Sequence[Box]],
    *,
    overlaps: Sequence[float] = OVERLAPS,
    thresholds: Sequence[float] = THRESHOLDS,
) -> float:
    """Return `max_box_acc` where any part of the heat counts, the mean over three overlaps.

    The threshold is the best for each overlap. Source: Choe et al. 2020, arXiv:2007.04178.

    Args:
        heats: One (height, width) map an image.
        boxes: The boxes around the object of each, px.
        overlaps: The intersections over union from which on a box is right.
        thresholds: Shares of a map's range to try.

    Raises:
        ArgumentError: If there is no image, or not one set of boxes an image.
    """
    return float(np.mean(_hit_rates(heats, boxes, overlaps, thresholds, largest=False)))


def pixel_average_precision(
    heats: Sequence[ArrayLike],
    masks: Sequence[ArrayLike],
    *,
    ignored: Sequence[ArrayLike | None] | None = None,
) -> float:
    """Return the average precision of heat as a guess at the object's pixels, in [0, 1].

    The pixels of all images count together (PxAP); each map is scaled to its own range, of which
    128 levels are told apart. Source: Choe et al. 2020, arXiv:2007.04178.

    Args:
        heats: One (height, width) map an image.
        masks: (height, width) bool each, true on the object.
        ignored: (height, width) bool each, true where the mask does not say; ``None`` is nowhere.

    Raises:
        ArgumentError: If there is no image, or shapes do not fit.

    >>> pixel_average_precision([[[0, 1]]], [[[False, True]]])
    1.0
    """
    unknown = [None] * len(heats) if ignored is None else ignored
    if not len(heats) == len(masks) == len(unknown) > 0:
        raise ArgumentError(
            f"one mask an image is expected, not {len(masks)} for {len(heats)} images"
        )
    levels = sum(map(pixel_levels, heats, masks, unknown))
    return float(average_precision(np.asarray(levels)))


def pixel_levels(
    heat: ArrayLike, mask: ArrayLike, ignored: ArrayLike | None = None
) -> NDArray[np.int64]:
    """Return (..., 2, 128): how many pixels off and on the object have each level of heat.

    Args:
        heat: (..., height, width).
        mask: (height, width) bool, true on the object.
        ignored: (height, width) bool, true where the mask does not say; ``None`` is nowhere.
    """
    values, inside = _check(heat, (), mask)
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

    It is NaN where nothing is on the object.
    """
    off, on = np.moveaxis(np.cumsum(levels[..., ::-1], axis=-1, dtype=np.float64), -2, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(on + off > 0, on / (on + off), 0)
        recall = on / on[..., -1:]
    steps = recall.copy()
    steps[..., 1:] -= recall[..., :-1]
    return np.asarray((steps * precision).sum(-1))


def centre_map(width: int, height: int) -> NDArray[np.float32]:
    """Return a map that knows only that photos are centred: (height, width) float32 in (0, 1].

    It is a Gaussian whose standard deviations are a quarter of the sides.
    """
    across, down = (
        np.exp(-((((np.arange(side) + 0.5) / side - 0.5) / CENTRE_SPREAD) ** 2) / 2)
        for side in (width, height)
    )
    return np.outer(down, across).astype(np.float32)


def _hit_rates(
    heats: Sequence[ArrayLike],
    boxes: Sequence[Sequence[Box]],
    overlaps: Sequence[float],
    thresholds: Sequence[float],
    *,
    largest: bool,
) -> list[float]:
    """Return the share of images that are right, by overlap, each with its best threshold."""
    if not len(heats) == len(boxes) > 0:
        raise ArgumentError(
            f"boxes are given one set an image, not {len(boxes)} for {len(heats)} images"
        )
    ious = np.array(
        [
            box_ious(heat, wanted, thresholds=thresholds, largest=largest)
            for heat, wanted in zip(heats, boxes, strict=True)
        ]
    )
    return [float((ious >= overlap).mean(0).max()) for overlap in overlaps]


def _beyond(start: float, stop: float, pixels: int) -> NDArray[np.float64]:
    """Return how far each pixel's centre lies from a stretch of a line, px; 0 within."""
    centres = np.arange(pixels) + 0.5
    return np.asarray(np.maximum(np.maximum(start - centres, centres - stop), 0))


def _overlap(edges: NDArray[np.float64], pixels: int) -> NDArray[np.float64]:
    """Return how much of each pixel of a line lies between two edges: (pixels, edges - 1)."""
    start = np.arange(pixels)[:, None]
    between = np.minimum(edges[1:], start + 1) - np.maximum(edges[:-1], start)
    return np.asarray(np.clip(between, 0, None))


def _check(
    heat: ArrayLike, boxes: Sequence[Box], mask: ArrayLike | None
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return maps as floats, and how far each of their pixels is on the object."""
    values = np.asarray(heat)
    if not np.issubdtype(values.dtype, np.floating):
        values = values.astype(np.float64)
    if values.ndim < 2 or not values.size:
        raise ArgumentError(f"heat must be (..., height, width), not of shape {values.shape}")
    if bool(boxes) == (mask is not None):
        raise ArgumentError("give boxes around the object, or a mask of it: one of the two")
    height, width = values.shape[-2:]
    if mask is None:
        return values, coverage(boxes, width, height)
    inside = np.asarray(mask, np.float64)
    if inside.shape != (height, width):
        raise ArgumentError(f"the mask's shape is {inside.shape}, the map's {(height, width)}")
    return values, inside
