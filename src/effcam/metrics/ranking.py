"""Ranks of values, the highest of them, and correlations, along the last axis."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Pearson's correlation of (..., samples) values, NaN for constant values."""
    one, two = (each - each.mean(-1, keepdims=True) for each in (first, second))
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (one * two).sum(-1) / np.sqrt((one**2).sum(-1) * (two**2).sum(-1))
    return np.asarray(np.clip(found, -1, 1))


def ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ranks of (..., samples) values from 0, equal ones sharing the mean of theirs.

    They are NaN where one of the values is.
    """
    order = values.argsort(-1)
    ordered = np.take_along_axis(values, order, -1)
    places = np.broadcast_to(np.arange(values.shape[-1]), values.shape)
    rises = ordered[..., 1:] != ordered[..., :-1]
    first, last = places.copy(), places.copy()
    # The first and the last place of those whose value is that of a place.
    first[..., 1:] *= rises
    last[..., :-1][~rises] = places.shape[-1]
    np.maximum.accumulate(first, -1, out=first)
    last = np.minimum.accumulate(last[..., ::-1], -1)[..., ::-1]
    found = np.empty(values.shape)
    np.put_along_axis(found, order, (first + last) / 2, -1)
    found[np.isnan(values).any(-1)] = np.nan
    return found


def membership(values: NDArray[np.float64], count: float) -> NDArray[np.float64]:
    """Return the membership of each sample in the ``count`` highest: 1, 0, or its part of a tie.

    Args:
        values: (..., samples).
        count: How many, above 0 and at most all; of part of a sample, that part belongs to them.
    """
    place = math.ceil(count)
    last = np.partition(values, values.shape[-1] - place, axis=-1)[..., -place, None]
    above, tied = values > last, values == last
    left = count - above.sum(-1, keepdims=True)
    with np.errstate(invalid="ignore"):  # no value ties with NaN
        return np.asarray(above + tied * left / tied.sum(-1, keepdims=True))
