"""Figures over images with intervals and tests, fed some images at a time, in bounded memory.

What is drawn independently is a unit: an image, or a video with all frames of it. Up to 1,024 units
are kept apart. If there are more, several share a place, and their sum counts as one unit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from effcam.metrics import intervals, significance
from effcam.metrics.inference import (
    ANY,
    Comparisons,
    Estimate,
    Pairs,
    Part,
    Range,
    compare,
    to_estimate,
    value_ends,
)
from effcam.metrics.intervals import FEWEST, Array, Ends

if TYPE_CHECKING:
    from numpy.typing import NDArray

PLACES = 1024
"""The largest number of units that are kept apart."""

Statistic: TypeAlias = Callable[[Array], Array]
Units: TypeAlias = "NDArray[np.int64]"
"""(images,) the number of each image's unit, from 0."""


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
        return to_estimate(own, both, ends, tests, self._places.single)

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

    def _parts(self) -> tuple[Part, Part]:
        """Return the means of the columns, and of the differences."""
        means = _ratio(self._sums.sum(0), self._counts.sum(0))
        influence = _influence(self._sums, self._counts, means)
        part = Part(means, influence, self._counts.sum(0))
        return part.take(slice(self._columns)), part.take(slice(self._columns, None))

    def _ends(self, own: Part, possible: Range) -> Ends:
        if possible.hits and self._places.single:
            return intervals.share_interval(self._sums.sum(0)[: self._columns], own.counts)
        return value_ends(own, possible)

    def _tests(self, own: Part, both: Part, possible: Range) -> Comparisons:
        differences = self._sums[:, self._columns :]
        if possible.hits and self._places.single:
            return self._compare_hits(differences.sum(0))
        return compare(own, both, differences, possible, self._pairs)

    def _compare_hits(self, totals: Array) -> Comparisons:
        """Return the intervals of the differences of shares, and the p-values of their tests."""
        rest = slice(self._columns, None)
        squares, counts = self._squares[rest], self._counts[:, rest].sum(0)
        ends = intervals.share_difference_interval(totals, squares, counts)
        return Comparisons(*ends, significance.hits_p(totals, squares))


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
        counts = np.full(len(values), self._counts.sum())
        return from_jackknife(
            values, without, counts, possible, single=self._places.single, apart=apart
        )


def from_jackknife(
    values: Array,
    without: Array,
    counts: Array,
    possible: Range = ANY,
    *,
    single: bool,
    apart: NDArray[np.bool_] | None = None,
) -> Estimate:
    """Return a figure with intervals and tests, given its values without each unit.

    Args:
        values: (columns,) the figure.
        without: (units, columns) the figure without each unit.
        counts: (columns,) the numbers of images.
        possible: The possible values of the figure.
        single: Whether every image is a unit of its own.
        apart: (columns, columns) which two columns are not to be compared.
    """
    influence = (len(without) - 1) * (values - without)
    first, second = pairs = np.triu_indices(len(values), 1)
    own = Part(values, influence, counts)
    both = Part(
        values[first] - values[second],
        influence[:, first] - influence[:, second],
        np.minimum(counts[first], counts[second]),
    )
    ends = value_ends(own, possible)
    tests = compare(own, both, both.values + both.influence, possible, pairs)
    return to_estimate(own, both, ends, tests.without(apart), single)


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


def _ratio(total: Array, count: Array) -> Array:
    means = np.full(total.shape, np.nan)
    np.divide(total, count, out=means, where=count > 0)
    return means
