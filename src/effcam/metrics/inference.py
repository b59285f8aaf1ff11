"""Intervals and tests of figures, given their values and the influence of each unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from effcam.metrics import intervals, significance
from effcam.metrics.intervals import EQUAL, FEWEST, Array, Ends

if TYPE_CHECKING:
    from numpy.typing import NDArray

Pairs: TypeAlias = "tuple[NDArray[np.intp], NDArray[np.intp]]"
"""The first column of each pair, and the second."""


@dataclass(frozen=True, slots=True)
class Range:
    """The possible values of a figure of one image.

    Attributes:
        low: The lowest, -inf if there is none.
        high: The highest.
        hits: Whether values are hits and misses, 1 and 0.
    """

    low: float = -np.inf
    high: float = np.inf
    hits: bool = False


ANY = Range()
SHARE = Range(0, 1)
HITS = Range(0, 1, hits=True)
CORRELATION = Range(-1, 1)


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """A figure of each column, with 95 % intervals and tests of the differences.

    Attributes:
        values: (columns,), NaN where no image has a value.
        low: (columns,), the lower ends; NaN where fewer than six units have a value.
        high: (columns,), the upper ends.
        counts: (columns,) int64, the number of images that have a value.
        units: (columns,) int64, the number of independent units that they are, at most 1,024 if
            any of them has several images.
        difference_low: (columns, columns), the lower ends for ``values[i] - values[j]``, over the
            images that have a value in both columns.
        difference_high: (columns, columns), the upper ends.
        p_values: (columns, columns), of the tests that two columns do not differ, corrected for
            the number of pairs by Holm's method; NaN where there is none.
    """

    values: Array
    low: Array
    high: Array
    counts: NDArray[np.int64]
    units: NDArray[np.int64]
    difference_low: Array
    difference_high: Array
    p_values: Array


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Figures, or their differences, with the influence of each unit.

    ``values`` are (columns,), ``influence`` is (places, columns), NaN where a unit has no value,
    and ``counts`` (columns,) are numbers of images.
    """

    values: Array
    influence: Array
    counts: Array

    def take(self, columns: slice) -> Part:
        """Return some of the columns."""
        return Part(self.values[columns], self.influence[:, columns], self.counts[columns])

    @property
    def units(self) -> NDArray[np.int64]:
        """The number of units that have a value, (columns,)."""
        return np.asarray(np.isfinite(self.influence).sum(0), np.int64)


class Comparisons(NamedTuple):
    """The ends of the intervals of differences, and the p-values of their tests, (pairs,)."""

    low: Array
    high: Array
    p_values: Array

    def without(self, apart: NDArray[np.bool_] | None) -> Comparisons:
        """Return them without those of columns that are not to be compared."""
        if apart is None:
            return self
        skipped = apart[np.triu_indices(len(apart), 1)]
        return Comparisons(*(np.where(skipped, np.nan, each) for each in self))


def value_ends(own: Part, possible: Range) -> Ends:
    """Return the ends of the intervals of figures, (columns,)."""
    low, high = intervals.mean_interval(own.values, own.influence)
    constant = intervals.is_constant(own.influence, np.abs(own.values))
    ends = intervals.constant_interval(own.values, own.units, possible.low, possible.high)
    return (
        np.where(constant, ends[0], np.maximum(low, possible.low)),
        np.where(constant, ends[1], np.minimum(high, possible.high)),
    )


def compare(
    own: Part, both: Part, differences: Array, possible: Range, pairs: Pairs
) -> Comparisons:
    """Return the intervals of the differences, and the p-values of the tests of them.

    Args:
        own: The figures.
        both: The differences of every two.
        differences: (places, pairs) whose signs are flipped.
        possible: The possible values of a figure.
        pairs: The positions of every two columns.
    """
    low, high = intervals.mean_interval(both.values, both.influence)
    p_values = intervals.mean_p(both.values, both.influence)
    reach = possible.high - possible.low
    unsure, shift = _without_spread(own, both, pairs)
    ends = intervals.constant_interval(both.values, both.units, -reach, reach)
    low, high = np.where(unsure, ends[0], low), np.where(unsure, ends[1], high)
    p_values[shift] = 0
    p_values[unsure] = ~((low > 0) | (high < 0))[unsure]
    low, high = np.maximum(low, -reach), np.minimum(high, reach)
    return Comparisons(low, high, np.maximum(p_values, _flipped_p(differences)))


def _without_spread(
    own: Part, both: Part, pairs: Pairs
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which differences are the same in all units, (pairs,) twice.

    The first are those of which this says little: there is none so far, or neither column varies.
    The others are shifts: both columns vary from image to image, but not against each other.
    """
    scale = np.nan_to_num(np.abs(own.values))
    still = intervals.is_constant(own.influence, scale)
    size = scale[pairs[0]] + scale[pairs[1]]
    same = intervals.is_constant(both.influence, size)
    unsure = same & ((np.abs(both.values) <= EQUAL * size) | (still[pairs[0]] & still[pairs[1]]))
    return unsure, same & ~unsure


def _flipped_p(differences: Array) -> Array:
    """Return the p-values of the sign-flip test, 0 where there are too many units to need it."""
    if len(differences) > significance.FLIPPED:
        return np.zeros(differences.shape[1])
    return significance.sign_flip_p(differences)


def to_estimate(own: Part, both: Part, ends: Ends, tests: Comparisons, single: bool) -> Estimate:
    """Return an estimate, without intervals and tests where there are too few units."""
    counts = own.counts.astype(np.int64)
    units, common = (
        np.where(single, part.counts, part.units).astype(np.int64) for part in (own, both)
    )
    low, high = (np.where(units >= FEWEST, each, np.nan) for each in ends)
    below, above, p_values = (np.where(common >= FEWEST, each, np.nan) for each in tests)
    columns = len(own.values)
    first, second = np.triu_indices(columns if len(both.values) else 0, 1)
    difference_low, difference_high, corrected = np.full((3, columns, columns), np.nan)
    difference_low[first, second], difference_high[first, second] = below, above
    difference_low[second, first], difference_high[second, first] = -above, -below
    corrected[first, second] = corrected[second, first] = significance.holm(p_values)
    return Estimate(
        own.values, low, high, counts, units, difference_low, difference_high, corrected
    )
