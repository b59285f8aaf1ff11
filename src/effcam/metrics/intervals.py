"""95 % intervals that hold for few images: of shares, of means, and of their differences.

A share of hits has the exact interval of Clopper and Pearson 1934 (doi:10.1093/biomet/26.4.404).
Any other mean has Student's interval. Where the values are skewed it is widened, on one side, to
that of Hall 1992 (doi:10.1111/j.2517-6161.1992.tb01876.x), which removes the effect of skewness.
The difference of two shares has the interval of Bonett and Price 2012 (doi:10.3102/
1076998611411915): one more image is counted for either side.

Arrays are (columns,) or, for each unit, (units, columns). A unit is what was drawn independently:
an image, or all frames of a video. The influence of a unit is its deviation from the mean; that of
a figure that is no mean comes from the jackknife.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from scipy.special import betaincinv, ndtri, stdtr, stdtrit  # scipy.stats takes a second to import

if TYPE_CHECKING:
    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[np.float64]"
Ends: TypeAlias = tuple[Array, Array]

CONFIDENCE = 0.95
TAIL = (1 - CONFIDENCE) / 2
FEWEST = 6
"""The smallest number of units with an interval or a test.

With five, even a difference of one sign in all of them has a p-value of 0.06.
"""
EQUAL = 1e-9
STRAIGHT = 1e-6
"""Below this skewness, Hall's correction is a shift."""


def share_interval(hits: Array, counts: Array) -> Ends:
    """Return the ends of the exact intervals of shares, (columns,) in [0, 1].

    Args:
        hits: (columns,) numbers of hits.
        counts: (columns,) numbers of hits and misses.
    """
    with np.errstate(invalid="ignore"):
        low = betaincinv(hits, counts - hits + 1, TAIL)
        high = betaincinv(hits + 1, counts - hits, 1 - TAIL)
    return np.where(hits > 0, low, 0.0), np.where(hits < counts, high, 1.0)


def share_difference_interval(totals: Array, squares: Array, counts: Array) -> Ends:
    """Return the ends of the intervals of the differences of two shares of the same images.

    Args:
        totals: (pairs,) how many more images the first of two models hits.
        squares: (pairs,) the number of images that one of them hits and the other misses.
        counts: (pairs,) numbers of images.
    """
    more = counts + 2
    middle = totals / more
    reach = ndtri(1 - TAIL) * np.sqrt(((squares + 2) / more - middle**2) / more)
    return np.maximum(middle - reach, -1), np.minimum(middle + reach, 1)


def mean_interval(values: Array, influence: Array) -> Ends:
    """Return the ends of Student's intervals, widened where values are skewed, (columns,).

    Args:
        values: (columns,) means.
        influence: (units, columns), NaN where a unit has no value.
    """
    count, error, skew = _moments(influence)
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = stdtrit(count - 1, 1 - TAIL)
        right, left = _unskewed(reach, skew, count), _unskewed(-reach, skew, count)
    return values - error * np.maximum(reach, right), values - error * np.minimum(-reach, left)


def mean_p(values: Array, influence: Array) -> Array:
    """Return the p-values that belong to `mean_interval`, of a mean of 0."""
    count, error, skew = _moments(influence)
    with np.errstate(divide="ignore", invalid="ignore"):
        student = values / error
        curve = skew / (3 * np.sqrt(count))
        corrected = student + curve * student**2 + curve**2 * student**3 / 3 + curve / 2
        least = np.minimum(np.abs(student), np.abs(corrected))
        return np.asarray(2 * stdtr(count - 1, -least))


def _moments(influence: Array) -> tuple[Array, Array, Array]:
    """Return the number of units, the standard error of the mean, and the skewness."""
    known = np.isfinite(influence)
    deviations = np.where(known, influence, 0)
    count = known.sum(0).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.square(deviations).sum(0)
        error = np.sqrt(spread / (count - 1) / count)
        skew = (deviations**3).sum(0) / count / (spread / count) ** 1.5
        # Few values are less skewed than what they are from (Joanes and Gill 1998).
        skew *= np.sqrt(count * (count - 1)) / (count - 2)
    return count, error, np.nan_to_num(skew, posinf=0, neginf=0)


def _unskewed(studentised: Array, skew: Array, count: Array) -> Array:
    """Return Student's t whose value is ``studentised`` after Hall's correction."""
    curve = skew / (3 * np.sqrt(count))
    shifted = studentised - curve / 2
    safe = np.where(np.abs(curve) < STRAIGHT, 1.0, curve)
    bent = (np.cbrt(1 + 3 * safe * shifted) - 1) / safe
    return np.asarray(np.where(np.abs(curve) < STRAIGHT, shifted, bent))


def is_constant(influence: Array, scale: Array) -> NDArray[np.bool_]:
    """Return for which columns all units have the same value, (columns,).

    Args:
        influence: (units, columns), NaN where a unit has no value.
        scale: (columns,) the size of the values; smaller deviations than a billionth are rounding.
    """
    return np.asarray((np.abs(np.nan_to_num(influence)) <= EQUAL * scale).all(0))


def constant_interval(values: Array, units: NDArray[np.integer], low: float, high: float) -> Ends:
    """Return the ends of the intervals of values that were the same in all units.

    If more than a certain share of all units had another value, one would most likely have been
    among these; that share may have any value in the range. NaN without a range.

    Args:
        values: (columns,).
        units: (columns,) numbers of units.
        low: The lowest possible value.
        high: The highest.
    """
    if not np.isfinite([low, high]).all():
        return np.full(values.shape, np.nan), np.full(values.shape, np.nan)
    same = TAIL ** (1 / np.maximum(units, 1))
    return same * values + (1 - same) * low, same * values + (1 - same) * high
