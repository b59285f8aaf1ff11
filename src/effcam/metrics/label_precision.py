"""Average precision of labels: how well a label's probabilities rank the images that have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from effcam.errors import ArgumentError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

MOST_NUMBERS = 2**22
"""The most numbers in one array of a step."""


def label_average_precision(probabilities: ArrayLike, truth: ArrayLike) -> NDArray[np.float64]:
    """Return the average precision of each label over images.

    The images are ranked by the label's probability. The average precision is the sum, over the
    different probabilities from the highest on, of the precision among the images down to that
    one, times the share of the label's images that have just that one. It equals
    scikit-learn's ``average_precision_score``. A random order gives about the share of the images
    that have the label. Source: Everingham et al. 2010, doi:10.1007/s11263-009-0275-4, without
    interpolation.

    Args:
        probabilities: (images, labels) numbers; only their order counts.
        truth: (images, labels) bool, which labels each image has.

    Returns:
        (labels,) float64 in [0, 1], NaN for labels that no image has.

    Raises:
        ArgumentError: If the shapes differ, or a number is not finite.

    >>> label_average_precision([[0.9], [0.8], [0.1]], [[True], [False], [True]]).round(3)
    array([0.833])
    """
    values, known = np.asarray(probabilities, np.float64), np.asarray(truth, bool)
    if values.ndim != 2 or values.shape != known.shape:
        raise ArgumentError(
            "probabilities and truth must be (images, labels) of one shape, not "
            f"{values.shape} and {known.shape}"
        )
    if not np.isfinite(values).all():
        raise ArgumentError("probabilities must be finite numbers")
    every = np.ones((1, len(values)))
    return np.asarray(weighted_precisions(values, known, every)[0])


def weighted_precisions(
    values: NDArray[np.float64], truth: NDArray[np.bool_], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the average precision of each label for several weights of the images.

    Args:
        values: (images, labels), finite.
        truth: (images, labels).
        weights: (n, images), how often each image counts.

    Returns:
        (n, labels), NaN where no image that counts has the label.
    """
    found = np.full((len(weights), values.shape[1]), np.nan)
    step = max(MOST_NUMBERS // max(len(values), 1), 1)
    for start in range(0, len(weights), step):
        part = slice(start, start + step)
        for label in range(values.shape[1]):
            found[part, label] = _precision(values[:, label], truth[:, label], weights[part])
    return found


def _precision(
    values: NDArray[np.float64], truth: NDArray[np.bool_], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the (n,) average precision of a label, NaN where no image that counts has it."""
    order = np.argsort(-values, kind="stable")
    # Images of one value have no order among them: they count together.
    ends = np.flatnonzero(np.diff(values[order], append=-np.inf))
    counted = weights[:, order]
    every = counted.cumsum(1)[:, ends]
    right = (counted * truth[order]).cumsum(1)[:, ends]
    precision = np.divide(right, every, out=np.zeros_like(right), where=every > 0)
    total = right.max(1, initial=0.0)
    gained = np.diff(right, axis=1, prepend=0.0)
    found = np.full(len(weights), np.nan)
    np.divide((gained * precision).sum(1), total, out=found, where=total > 0)
    return found
