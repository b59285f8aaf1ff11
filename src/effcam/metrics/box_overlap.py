"""How well boxes around the hot parts of a map fit the object's boxes.

Source: Choe et al. 2020, arXiv:2001.07437 and arXiv:2007.04178. Maps are (height, width) over the
image, >= 0; boxes are in px of the same image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from effcam.cam.heat_boxes import part_ious, scale
from effcam.errors import ArgumentError
from effcam.images.geometry import Box
from effcam.metrics.localisation import check_heat

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

THRESHOLDS = tuple(step / 20 for step in range(20))
"""The shares of a map's range above which heat is boxed: 0 to 0.95."""
OVERLAPS = (0.3, 0.5, 0.7)


def box_ious(
    heat: ArrayLike,
    boxes: Sequence[Box],
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    largest: bool = False,
) -> NDArray[np.float64]:
    """Return how well boxes around the hot parts fit the object's boxes, by threshold.

    The map is interpolated bilinearly. The area at or above a threshold consists of connected
    parts, each with a box; the figure is the best intersection over union of one of these boxes
    with one of the object's.

    Args:
        heat: (height, width).
        boxes: Boxes around the object, px.
        thresholds: Shares of the map's range, in [0, 1].
        largest: Whether only the largest part counts.

    Raises:
        ArgumentError: If there is no box.

    >>> box_ious([[0, 1], [0, 1]], [Box(1, 0, 2, 2)], thresholds=[0, 0.5]).tolist()
    [0.5, 1.0]
    """
    values, _ = check_heat(heat, boxes, None)
    if values.ndim != 2:
        raise ArgumentError(f"heat must be (height, width), not of shape {values.shape}")
    height, width = values.shape
    levels = np.asarray(thresholds, values.dtype)[None]
    whole = [Box(0, 0, width, height)]
    found = part_ious(scale(values)[None], whole, [boxes], levels, whole)
    return np.asarray(found[0, int(largest)])


def max_box_acc(
    heats: Sequence[ArrayLike],
    boxes: Sequence[Sequence[Box]],
    *,
    overlap: float = 0.5,
    thresholds: Sequence[float] = THRESHOLDS,
) -> float:
    """Return the share of images in which the box around the largest hot part is right, in [0, 1].

    The threshold is the best one for the same images, as in Choe et al. 2020, arXiv:2001.07437.
    `effcam.Comparison.summary` chooses it on other images.

    Args:
        heats: One (height, width) map an image.
        boxes: The boxes around the object of each, px.
        overlap: The smallest intersection over union of a right box.
        thresholds: Shares of a map's range to try.

    Raises:
        ArgumentError: If there is no image, or not one set of boxes per image.
    """
    return float(max(_hit_rates(heats, boxes, [overlap], thresholds, largest=True)))


def max_box_acc_v2(
    heats: Sequence[ArrayLike],
    boxes: Sequence[Sequence[Box]],
    *,
    overlaps: Sequence[float] = OVERLAPS,
    thresholds: Sequence[float] = THRESHOLDS,
) -> float:
    """Return `max_box_acc` where any hot part counts, averaged over three overlaps.

    The threshold is the best for each overlap. Source: Choe et al. 2020, arXiv:2007.04178.

    Args:
        heats: One (height, width) map an image.
        boxes: The boxes around the object of each, px.
        overlaps: The smallest intersections over union of a right box.
        thresholds: Shares of a map's range to try.

    Raises:
        ArgumentError: If there is no image, or not one set of boxes per image.
    """
    return float(np.mean(_hit_rates(heats, boxes, overlaps, thresholds, largest=False)))


def _hit_rates(
    heats: Sequence[ArrayLike],
    boxes: Sequence[Sequence[Box]],
    overlaps: Sequence[float],
    thresholds: Sequence[float],
    *,
    largest: bool,
) -> list[float]:
    """Return the share of images with a right box, by overlap, each with its best threshold."""
    if not len(heats) == len(boxes) > 0:
        raise ArgumentError(
            f"give one set of boxes per image, not {len(boxes)} for {len(heats)} images"
        )
    ious = np.array(
        [
            box_ious(heat, wanted, thresholds=thresholds, largest=largest)
            for heat, wanted in zip(heats, boxes, strict=True)
        ]
    )
    return [float((ious >= overlap).mean(0).max()) for overlap in overlaps]
