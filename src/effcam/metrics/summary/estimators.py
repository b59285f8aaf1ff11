"""Figures over images with 95 % intervals, fed some images at a time.

A comparison in memory keeps the values of its images and uses the paired bootstrap. A dataset run
keeps sums alone, so that memory does not grow with the number of images: means have intervals of
the normal approximation, which for thousands of images equal those of the bootstrap; functions of
sums have intervals of the Poisson bootstrap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Protocol

import numpy as np

from effcam.metrics.bootstrap import (
    CONFIDENCE,
    DRAWS,
    FEWEST,
    SEED,
    Estimate,
    Statistic,
    estimate,
    estimate_by,
    estimate_from_draws,
)
from effcam.metrics.summary.records import Figure, Measure
from effcam.metrics.summary.rows import Samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEVIATIONS = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
"""Half the width of an interval, in standard errors."""


class Estimator(Protocol):
    """Estimates a figure of each column from samples of images."""

    def add(self, samples: NDArray[np.float64]) -> None:
        """Add the samples of some images, (images, columns, ...)."""

    def estimate(self) -> Estimate:
        """Return the figure over all images added."""


@dataclass(frozen=True, slots=True)
class Estimators:
    """The estimators that a summary uses.

    Attributes:
        means: Returns an estimator of means, given the number of columns.
        sums: Returns an estimator of a function of sums over images.
    """

    means: Callable[[int], Estimator]
    sums: Callable[[Statistic], Estimator]


def to_measure(
    figure: Figure, found: Estimate, baselines: Mapping[str, float] | None = None
) -> Measure:
    """Return a measure of a figure from its estimate."""
    return Measure(
        figure=figure,
        values=found.values,
        low=found.low,
        high=found.high,
        counts=found.counts,
        baselines=baselines or {},
        difference_low=found.difference_low,
        difference_high=found.difference_high,
    )


class BootstrapMeans:
    """Means of columns over images, kept in memory for the paired bootstrap."""

    def __init__(self, columns: int) -> None:
        self._parts: list[NDArray[np.float64]] = [np.zeros((0, columns))]

    def add(self, samples: NDArray[np.float64]) -> None:
        """Add (images, columns), NaN where there is no value."""
        self._parts.append(samples)

    def estimate(self) -> Estimate:
        """Return the means with bootstrap intervals."""
        return estimate(np.concatenate(self._parts))


class BootstrapSums:
    """A function of sums over images, whose samples are kept in memory."""

    def __init__(self, statistic: Statistic) -> None:
        self._statistic = statistic
        self._parts: list[NDArray[np.float64]] = []

    def add(self, samples: NDArray[np.float64]) -> None:
        """Add (images, columns, ...) counts."""
        self._parts.append(samples)

    def estimate(self) -> Estimate:
        """Return the figure with bootstrap intervals."""
        return estimate_by(np.concatenate(self._parts), self._statistic)


class Moments:
    """Means of columns over images, and of the differences of every two, in constant memory.

    >>> import numpy as np
    >>> moments = Moments(2)
    >>> moments.add(np.array([[1.0, 0.0], [0.0, np.nan]]))
    >>> moments.add(np.array([[1.0, 1.0]]))
    >>> moments.estimate().values.round(2).tolist(), moments.estimate().counts.tolist()
    ([0.67, 0.5], [3, 2])
    """

    def __init__(self, columns: int, *, paired: bool = True) -> None:
        """Start without images.

        Args:
            columns: The number of columns.
            paired: Whether to estimate the differences of every two columns too.
        """
        # Every column, then the difference of every two.
        self._columns = columns
        self._pairs = np.triu_indices(columns if paired else 0, 1)
        self._count, self._mean, self._squares = np.zeros((3, columns + len(self._pairs[0])))

    def add(self, samples: Samples) -> None:
        """Add (images, columns), NaN where there is no value."""
        first, second = self._pairs
        values = np.hstack([samples, samples[:, first] - samples[:, second]])
        valid = np.isfinite(values)
        count = valid.sum(0)
        total = np.where(valid, values, 0).sum(0)
        mean = np.divide(total, count, out=np.zeros(len(total)), where=count > 0)
        squares = np.where(valid, np.square(values - mean), 0).sum(0)
        # Chan, Golub and LeVeque 1983, doi:10.1080/00031305.1983.10483115: no digits are lost.
        both = self._count + count
        share = np.divide(count, both, out=np.zeros(len(both)), where=both > 0)
        gap = mean - self._mean
        self._squares += squares + np.square(gap) * self._count * share
        self._mean += gap * share
        self._count = both

    def estimate(self) -> Estimate:
        """Return the means with 95 % intervals of the normal approximation."""
        columns, (first, second) = self._columns, self._pairs
        known = self._count >= FEWEST
        error = np.full(len(known), np.nan)
        spread = self._squares[known] / (self._count[known] - 1)
        error[known] = DEVIATIONS * np.sqrt(spread / self._count[known])
        values = np.where(self._count > 0, self._mean, np.nan)
        low, high = values - error, values + error
        return Estimate(
            values[:columns],
            low[:columns],
            high[:columns],
            self._count[:columns].astype(np.int64),
            _antisymmetric(columns, first, second, low[columns:], high[columns:]),
            _antisymmetric(columns, first, second, high[columns:], low[columns:]),
        )


def _antisymmetric(
    columns: int,
    first: NDArray[np.intp],
    second: NDArray[np.intp],
    upper: Samples,
    lower: Samples,
) -> Samples:
    """Return a (columns, columns) matrix of one triangle, and of the other one's negatives."""
    matrix = np.full((columns, columns), np.nan)
    matrix[first, second] = upper
    matrix[second, first] = -lower
    return matrix


class PoissonSums:
    """A function of sums over images, in constant memory.

    Each image counts a Poisson(1) number of times in each draw, which needs no number of images
    in advance: the Poisson bootstrap, Hanley and MacGibbon 2006, doi:10.1016/j.cmpb.2006.04.006.
    """

    def __init__(self, statistic: Statistic) -> None:
        self._statistic = statistic
        self._random = np.random.default_rng(SEED)
        self._images = 0
        self._total: NDArray[np.float64] = np.zeros(1)
        self._drawn: NDArray[np.float64] = np.zeros(1)

    def add(self, samples: NDArray[np.float64]) -> None:
        """Add (images, columns, ...) counts."""
        weights = self._random.poisson(1, (DRAWS, len(samples))).astype(np.float64)
        drawn = weights @ samples.reshape(len(samples), -1)
        self._drawn = self._drawn + drawn.reshape(DRAWS, *samples.shape[1:])
        self._total = self._total + samples.sum(0)
        self._images += len(samples)

    def estimate(self) -> Estimate:
        """Return the figure with intervals of the Poisson bootstrap."""
        value, drawn = self._statistic(self._total), self._statistic(self._drawn)
        return estimate_from_draws(value, drawn, self._images)


IN_MEMORY = Estimators(BootstrapMeans, BootstrapSums)
STREAMED = Estimators(Moments, PoissonSums)
