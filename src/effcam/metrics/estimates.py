"""Figures over images with intervals and tests, fed some images at a time, in bounded memory.

What is drawn independently is a unit: an image, or a video with all frames of it. Up to 1,024 units
are kept apart. If there are more, several share a place, and their sum counts as one unit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from effcam.metrics import intervals, significance
from effcam.metrics.intervals import EQUAL, FEWEST, Array, Ends

if TYPE_CHECKING:
    from numpy.typing import NDArray

PLACES = 1024
"""The largest number of units that are kept apart."""

Statistic: TypeAlias = Callable[[Array], Array]
Pairs: TypeAlias = "tuple[NDArray[np.intp], NDArray[np.intp]]"
Units: TypeAlias = "NDArray[np.int64]"
"""(images,) the number of each image's unit, from 0."""


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


class Means:
    """Means of columns over images, and of the differences of every two.

    >>> means = Means(2)
    >>> means.add(np.array([[1.0, 0.0], [0.0, np.nan]]))
    >>> means.add(np.array([[1.0, 1.0]]))
    >>> means.estimate().values.round(2).tolist(), means.estimate().counts.tolist()
    ([0.67, 0.5], [3, 2])
    """

    def __init__(self, columns: int, *, pairs: Pairs | None = None) -> None:
        """Start without images.

        Args:
            columns: The number of columns.
            pairs: The positions of the columns whose differences are estimated too, the first of
                each pair and the second; by default every two.
        """
        # Every column, then the differences.
        self._columns = columns
        self._pairs = np.triu_indices(columns, 1) if pairs is None else pairs
        self._width = columns + len(self._pairs[0])
        self._places = Places()
        self._sums, self._counts = np.zeros((2, 0, self._width))
        self._squares = np.zeros(self._width)

    def add(self, samples: Array, units: Units | None = None) -> None:
        """Add the values of some images.

        Args:
            samples: (images, columns), NaN where there is no value.
            units: The unit of each image; by default each is one.
        """
        places = self._places.of(len(samples), units)
        first, second = self._pairs
        with np.errstate(invalid="ignore"):
            values = np.hstack([samples, samples[:, first] - samples[:, second]])
        valid = np.isfinite(values)
        kept = np.where(valid, values, 0)
        self._sums = _add_at(self._sums, places, kept)
        self._counts = _add_at(self._counts, places, valid.astype(np.float64))
        self._squares += np.square(kept).sum(0)

    def values(self) -> Array:
        """Return the means alone, (columns,)."""
        return _ratio(self._sums.sum(0), self._counts.sum(0))[: self._columns]

    def estimate(self, possible: Range = ANY, apart: NDArray[np.bool_] | None = None) -> Estimate:
        """Return the means with intervals and tests.

        Args:
            possible: The possible values of an image.
            apart: (columns, columns) which two columns are not to be compared.
        """
        own, both = self._parts()
        ends = self._ends(own, possible)
        tests = self._tests(own, both, possible).without(apart)
        return _estimate(own, both, ends, tests, self._places.single)

    def uncorrected(self, possible: Range = ANY) -> tuple[Ends, Array]:
        """Return the intervals, and the p-values of the pairs as if each were the only one.

        Returns:
            The (columns,) lower and upper ends, and the (pairs,) p-values; NaN where there are
            too few units.
        """
        own, both = self._parts()
        low, high = self._ends(own, possible)
        p_values = self._tests(own, both, possible).p_values
        few, fewer = own.units < FEWEST, both.units < FEWEST
        return (
            (np.where(few, np.nan, low), np.where(few, np.nan, high)),
            np.where(fewer, np.nan, p_values),
        )

    def _parts(self) -> tuple[_Part, _Part]:
        """Return the means of the columns, and of the differences."""
        means = _ratio(self._sums.sum(0), self._counts.sum(0))
        influence = _influence(self._sums, self._counts, means)
        part = _Part(means, influence, self._counts.sum(0))
        return part.take(slice(self._columns)), part.take(slice(self._columns, None))

    def _ends(self, own: _Part, possible: Range) -> Ends:
        if possible.hits and self._places.single:
            return intervals.share_interval(self._sums.sum(0)[: self._columns], own.counts)
        return _value_ends(own, possible)

    def _tests(self, own: _Part, both: _Part, possible: Range) -> _Tests:
        differences = self._sums[:, self._columns :]
        if possible.hits and self._places.single:
            return self._compare_hits(differences.sum(0))
        return _compare(own, both, differences, possible, self._pairs)

    def _compare_hits(self, totals: Array) -> _Tests:
        """Return the intervals of the differences of shares, and the p-values of their tests."""
        rest = slice(self._columns, None)
        squares, counts = self._squares[rest], self._counts[:, rest].sum(0)
        ends = intervals.share_difference_interval(totals, squares, counts)
        return _Tests(*ends, significance.hits_p(totals, squares))


class Sums:
    """A figure that is a function of sums over images; its influences come from the jackknife."""

    def __init__(self, statistic: Statistic) -> None:
        """Start without images.

        Args:
            statistic: Returns the (..., columns) figures of (..., columns, ...) sums.
        """
        self._statistic = statistic
        self._places = Places()
        self._sums: Array = np.zeros((0, 1))
        self._counts: Array = np.zeros((0, 1))

    def add(self, samples: Array, units: Units | None = None) -> None:
        """Add the (images, columns, ...) counts of some images, and the unit of each."""
        places = self._places.of(len(samples), units)
        if not len(self._sums):
            self._sums = np.zeros((0, *samples.shape[1:]))
        self._sums = _add_at(self._sums, places, samples)
        self._counts = _add_at(self._counts, places, np.ones((len(samples), 1)))

    def estimate(self, possible: Range = ANY, apart: NDArray[np.bool_] | None = None) -> Estimate:
        """Return the figure with intervals and tests.

        Args:
            possible: The possible values of the figure.
            apart: (columns, columns) which two columns are not to be compared.
        """
        total, known = self._sums.sum(0), self._counts[:, 0] > 0
        values = self._statistic(total)
        without = self._statistic(total - self._sums[known])
        influence = (known.sum() - 1) * (values - without)
        pairs = np.triu_indices(len(values), 1)
        counts = np.full(len(values), self._counts.sum())
        own = _Part(values, influence, counts)
        both = _Part(
            values[pairs[0]] - values[pairs[1]],
            influence[:, pairs[0]] - influence[:, pairs[1]],
            np.full(len(pairs[0]), self._counts.sum()),
        )
        ends = _value_ends(own, possible)
        tests = _compare(own, both, both.values + both.influence, possible, pairs)
        return _estimate(own, both, ends, tests.without(apart), self._places.single)


class Places:
    """Where the sums of each unit are kept.

    Attributes:
        single: Whether every image is a unit of its own.
    """

    def __init__(self) -> None:
        self._next = 0
        self._last = -1
        self.single = True

    def of(self, images: int, units: Units | None) -> NDArray[np.int64]:
        """Return the place of each of the next images, (images,)."""
        if units is None:
            units = np.arange(self._next, self._next + images)
        self._next += images
        if len(units):
            # Units are numbered as they come, so that one that came before is no new one.
            self.single &= bool((np.diff(units, prepend=self._last) > 0).all())
            self._last = max(self._last, int(units.max()))
        return np.asarray(units % PLACES)


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Figures, or their differences, with the influence of each unit.

    ``values`` are (columns,), ``influence`` is (places, columns), NaN where a unit has no value,
    and ``counts`` (columns,) are numbers of images.
    """

    values: Array
    influence: Array
    counts: Array

    def take(self, columns: slice) -> _Part:
        return _Part(self.values[columns], self.influence[:, columns], self.counts[columns])

    @property
    def units(self) -> NDArray[np.int64]:
        return np.asarray(np.isfinite(self.influence).sum(0), np.int64)


class _Tests(NamedTuple):
    """The ends of the intervals of differences, and the p-values of their tests, (pairs,)."""

    low: Array
    high: Array
    p_values: Array

    def without(self, apart: NDArray[np.bool_] | None) -> _Tests:
        """Return them without those of columns that are not to be compared."""
        if apart is None:
            return self
        skipped = apart[np.triu_indices(len(apart), 1)]
        return _Tests(*(np.where(skipped, np.nan, each) for each in self))


def estimate(samples: Array, possible: Range = ANY, units: Units | None = None) -> Estimate:
    """Return the mean of each column of (images, columns) samples, with intervals and tests.

    Args:
        samples: (images, columns), NaN where there is no value.
        possible: The possible values.
        units: The unit of each image; by default each is one.
    """
    means = Means(samples.shape[1])
    means.add(samples, units)
    return means.estimate(possible)


def _add_at(sums: Array, places: NDArray[np.int64], values: Array) -> Array:
    """Return sums with more values added at their places, which are made as they are needed."""
    missing = int(places.max(initial=-1)) + 1 - len(sums)
    if missing > 0:
        sums = np.concatenate([sums, np.zeros((missing, *sums.shape[1:]))])
    if len(np.unique(places)) == len(places):
        sums[places] += values
    else:
        np.add.at(sums, places, values)
    return sums


def _influence(sums: Array, counts: Array, means: Array) -> Array:
    """Return the jackknife's influence of each unit on means, NaN where it has no value.

    For units of one image each, it is the deviation of the value from the mean.
    """
    units = (counts > 0).sum(0)
    rest = counts.sum(0) - counts
    deviations = sums - np.nan_to_num(means) * counts
    found = np.zeros(sums.shape)
    np.divide((units - 1) * deviations, rest, out=found, where=rest > 0)
    return np.where(counts > 0, found, np.nan)


def _value_ends(own: _Part, possible: Range) -> Ends:
    low, high = intervals.mean_interval(own.values, own.influence)
    constant = intervals.is_constant(own.influence, np.abs(own.values))
    ends = intervals.constant_interval(own.values, own.units, possible.low, possible.high)
    return (
        np.where(constant, ends[0], np.maximum(low, possible.low)),
        np.where(constant, ends[1], np.minimum(high, possible.high)),
    )


def _compare(own: _Part, both: _Part, differences: Array, possible: Range, pairs: Pairs) -> _Tests:
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
    return _Tests(low, high, np.maximum(p_values, _flipped_p(differences)))


def _without_spread(
    own: _Part, both: _Part, pairs: Pairs
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


def _estimate(own: _Part, both: _Part, ends: Ends, tests: _Tests, single: bool) -> Estimate:
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


def _ratio(total: Array, count: Array) -> Array:
    means = np.full(total.shape, np.nan)
    np.divide(total, count, out=means, where=count > 0)
    return means
