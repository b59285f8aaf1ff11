"""Tests of whether two columns differ on the same images, true for few images too.

If two columns do not differ, each image's difference is as likely to have the other sign. The
sign-flip test counts how many assignments of signs give a sum as far from 0 as the observed one: it
is exact for any distribution (Fisher 1935, The Design of Experiments, section 21; Pitman 1937,
doi:10.2307/2984124). For hits and misses it is the exact test of McNemar 1947
(doi:10.1007/BF02295996).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import betainc

from effcam.metrics.intervals import CONFIDENCE, Array

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEVEL = round(1 - CONFIDENCE, 9)
SEED = 0
ENUMERATED = 13
"""The largest number of units of which all assignments of signs are counted."""
FLIPPED = 256
"""The largest number of units whose signs are flipped; for more, Student's test is as good."""
LEAST_FLIPS = 10_000
FLIPS_PER_PAIR = 60
"""So that random flips can show a p-value well below that of Holm's first step."""
AT_ONCE = 2_000_000  # signs in memory
SAME = 1e-9


def sign_flip_p(differences: Array) -> Array:
    """Return the two-sided p-values of the sign-flip test of each column's mean, (columns,).

    Args:
        differences: (units, columns); NaN counts as no difference.
    """
    values = np.nan_to_num(differences)
    units, columns = values.shape
    observed = np.abs(values.sum(0))
    # Sums that are equal but for rounding tie.
    tie = observed - SAME * np.abs(values).sum(0)
    if units <= ENUMERATED:
        return np.asarray((np.abs(_all_signs(units) @ values) >= tie).mean(0))
    flips = max(LEAST_FLIPS, FLIPS_PER_PAIR * columns) - 1
    far = np.zeros(columns)
    for signs in _random_signs(units, flips):
        far += (np.abs(signs @ values) >= tie).sum(0)
    return np.asarray((far + 1) / (flips + 1))


@lru_cache(maxsize=2)
def _all_signs(units: int) -> Array:
    """Return (2^(units - 1), units) signs; the first is 1, since opposite signs tie."""
    bits = (np.arange(2 ** max(units - 1, 0))[:, None] >> np.arange(units)) & 1
    return np.asarray(1.0 - 2.0 * bits)


def _random_signs(units: int, flips: int) -> list[NDArray[np.int8]]:
    """Return parts of (flips, units) random signs, the same each time."""
    chunk = max(1, AT_ONCE // units)
    return [
        _some_signs(units, min(chunk, flips - start), SEED + start)
        for start in range(0, flips, chunk)
    ]


@lru_cache(maxsize=8)
def _some_signs(units: int, flips: int, seed: int) -> NDArray[np.int8]:
    bits = np.random.default_rng(seed).integers(2, size=(flips, units), dtype=np.int8)
    return np.asarray(1 - 2 * bits)


def hits_p(totals: Array, squares: Array) -> Array:
    """Return the p-values of McNemar's exact test, (pairs,).

    Args:
        totals: (pairs,) how many more images the first of two models hits.
        squares: (pairs,) the number of images that one of them hits and the other misses.
    """
    least = np.round((squares - np.abs(totals)) / 2)
    most = np.round(squares) - least
    # The chance of at most ``least`` heads in ``least + most`` tosses of a coin.
    tail = np.where(most == 0, 1.0, betainc(most, least + 1, 0.5))
    return np.asarray(np.minimum(1.0, 2 * tail))


def holm(p_values: Array) -> Array:
    """Return p-values corrected for their number, by Holm 1979; NaN does not count.

    The chance that any of them is at most 0.05 where there is no difference is then at most 5 %,
    however the tests depend on each other.

    >>> holm(np.array([0.01, 0.04, np.nan, 0.03])).round(3).tolist()
    [0.03, 0.06, nan, 0.06]
    """
    corrected = np.full(p_values.shape, np.nan)
    known = np.flatnonzero(np.isfinite(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    steps = p_values[order] * np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return corrected


def fewest_units(pairs: int) -> int:
    """Return the smallest number of units with which one of so many pairs can differ.

    >>> fewest_units(1), fewest_units(10)
    (6, 9)
    """
    units = 1
    while 2.0 ** (1 - units) * pairs > LEVEL:
        units += 1
    return units
