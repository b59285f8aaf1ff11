"""How far two maps of one image agree, on the same samples.

Functions take two maps of one shape, ``(..., height, width)``, and return one number per pair, NaN
if one of the maps is constant.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from effcam.cam.explanation import Explanation
from effcam.errors import ArgumentError, check_number
from effcam.metrics.ranking import correlation, membership, ranks
from effcam.metrics.sampling import on_common_region

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


TOP = 0.2


def spearman(one: ArrayLike, other: ArrayLike) -> NDArray[np.float64]:
    """Return Spearman's rank correlation of two maps, in [-1, 1]; equal values share their rank.

    For maps of evidence: Adebayo et al. 2018, arXiv:1810.03292.

    Args:
        one: (..., height, width).
        other: Likewise, of the same shape.

    Raises:
        ArgumentError: If the shapes differ or are no maps.

    >>> float(spearman([[1, 2], [3, 4]], [[4, 3], [2, 1]]))
    -1.0
    """
    first, second = _pair(one, other)
    return correlation(ranks(first), ranks(second))


def top_iou(one: ArrayLike, other: ArrayLike, *, share: float = TOP) -> NDArray[np.float64]:
    """Return the intersection over union of the hottest areas of two maps, in [0, 1].

    An area is the ``share`` of the samples with the highest values; samples that tie for the last
    places belong to it in equal parts.

    Args:
        one: (..., height, width).
        other: Likewise, of the same shape.
        share: The share of the samples in the area, in (0, 1).

    Raises:
        ArgumentError: If the shapes differ or are no maps, or the share is impossible.

    >>> float(top_iou([[0, 0], [0, 1]], [[0, 0], [0, 1]], share=0.25))
    1.0
    """
    first, second = _pair(one, other)
    if not 0 < share < 1:
        raise ArgumentError(f"share must lie between 0 and 1, not {share!r}")
    count = max(1, math.floor(share * first.shape[-1] + 0.5))
    areas = [membership(values, count) for values in (first, second)]
    common = np.minimum(*areas).sum(-1)
    vary = (np.ptp(first, axis=-1) > 0) & (np.ptp(second, axis=-1) > 0)
    return np.asarray(np.where(vary, common / (2 * count - common), np.nan))


def _pair(one: ArrayLike, other: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first, second = np.asarray(one, np.float64), np.asarray(other, np.float64)
    if first.shape != second.shape or first.ndim < 2 or not first.size:
        raise ArgumentError(
            "two maps to compare must have one shape, (..., height, width), not "
            f"{first.shape} and {second.shape}"
        )
    shape = (*first.shape[:-2], -1)
    return first.reshape(shape), second.reshape(shape)


Agreement: TypeAlias = Literal["spearman", "iou"]
MEASURES = {"spearman": spearman, "iou": top_iou}
AGREEMENT_TITLES = {
    "spearman": "Agreement: rank correlation of two models' maps",
    "iou": "Agreement: overlap of two models' hottest fifths",
}


def pair_agreements(
    rows: Sequence[Sequence[Explanation]], measure: Agreement
) -> NDArray[np.float64]:
    """Return the agreement of every two columns in every image: (images, columns, columns).

    It is NaN where two maps cannot be compared, and 1 on the diagonal where there is a map.

    Args:
        rows: The cells of each image.
        measure: ``"spearman"`` or ``"iou"``.

    Raises:
        ArgumentError: If there is no such measure.
    """
    if measure not in MEASURES:
        raise ArgumentError(f"measure must be one of {', '.join(MEASURES)}, not {measure!r}")
    columns = len(rows[0]) if rows else 0
    found = np.full((len(rows), columns, columns), np.nan)
    for image, row in enumerate(rows):
        for at, cell in enumerate(row):
            found[image, at, at] = 1 if cell.state == "ok" else np.nan
        pairs = on_common_region(row)
        if pairs:
            one, other = (np.stack(maps) for maps in zip(*pairs.values(), strict=True))
            first, second = np.array(list(pairs)).T
            values = MEASURES[measure](one, other)
            found[image, first, second] = found[image, second, first] = values
    return found


def agreement_matrix(pairs: NDArray[np.float64], columns: int) -> NDArray[np.float64]:
    """Return the mean over images, (columns, columns), NaN where no image counts."""
    valid = np.isfinite(pairs)
    means = np.full((columns, columns), np.nan)
    np.divide(np.where(valid, pairs, 0).sum(0), valid.sum(0), out=means, where=valid.any(0))
    return means


def least_agreed(pairs: NDArray[np.float64]) -> list[int]:
    """Return the images in order of their columns' mean agreement, the lowest first.

    Images in which no two columns can be compared come last.
    """
    return [int(at) for at in np.argsort(mean_agreements(pairs), kind="stable")]


def check_disagreed(n: int, columns: int) -> None:
    """Check the arguments of a search for the images on which columns differ most.

    Raises:
        ArgumentError: If ``n`` is no whole number from 1, or there is only one column.
    """
    check_number("n", n)
    if columns < 2:
        raise ArgumentError("a single column cannot disagree: compare two or more")


def mean_agreements(pairs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each image's mean over every two columns, infinite if no two can be compared."""
    first, second = np.triu_indices(pairs.shape[1], 1)
    own = pairs[:, first, second]
    valid = np.isfinite(own)
    means = np.full(len(own), np.inf)
    np.divide(np.where(valid, own, 0).sum(1), valid.sum(1), out=means, where=valid.any(1))
    return means
