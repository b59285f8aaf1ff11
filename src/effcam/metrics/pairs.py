"""Agreement of the columns of a comparison, image by image and two columns at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from effcam.errors import ArgumentError
from effcam.explanation import Explanation
from effcam.metrics.agreement import spearman, top_iou
from effcam.metrics.placed import on_common_region

if TYPE_CHECKING:
    from numpy.typing import NDArray

Agreement: TypeAlias = Literal["spearman", "iou"]

MEASURES = {"spearman": spearman, "iou": top_iou}
AGREEMENT_TITLES = {
    "spearman": "Agreement: rank correlation of two models' maps",
    "iou": "Agreement: overlap of two models' hottest fifths",
}


def pair_agreements(
    rows: Sequence[Sequence[Explanation]], measure: Agreement
) -> NDArray[np.float64]:
    """Returns how far every two columns agree in every image: (images, columns, columns).

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
    """Returns the mean over images, (columns, columns), NaN where no image counts."""
    valid = np.isfinite(pairs)
    means = np.full((columns, columns), np.nan)
    np.divide(np.where(valid, pairs, 0).sum(0), valid.sum(0), out=means, where=valid.any(0))
    return means


def least_agreed(pairs: NDArray[np.float64]) -> list[int]:
    """Returns the images in order of their columns' mean agreement, the lowest first.

    Images in which no two columns can be compared come last.
    """
    return [int(at) for at in np.argsort(mean_agreements(pairs), kind="stable")]


def check_disagreed(n: int, columns: int) -> None:
    """Makes sure that the ``n`` images on which so many columns differ most can be told.

    Raises:
        ArgumentError: If ``n`` is no whole number from 1, or there is one column alone.
    """
    check_count(n)
    if columns < 2:
        raise ArgumentError("one column alone does not disagree: compare two or more")


def check_count(n: int) -> None:
    """Makes sure that there can be ``n`` images.

    Raises:
        ArgumentError: If ``n`` is no whole number from 1.
    """
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise ArgumentError(f"n must be a whole number from 1, not {n!r}")


def mean_agreements(pairs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns each image's mean over every two columns, infinite where no two can be compared."""
    first, second = np.triu_indices(pairs.shape[1], 1)
    own = pairs[:, first, second]
    valid = np.isfinite(own)
    means = np.full(len(own), np.inf)
    np.divide(np.where(valid, own, 0).sum(1), valid.sum(1), out=means, where=valid.any(1))
    return means
