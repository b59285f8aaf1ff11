"""The expected calibration error of the most probable class, with what chance alone makes of it.

Predictions are put into bins of their probability. The error is the mean over images of the
distance, in each bin, between the mean probability and the share that is right (Naeini et al.
2015; Guo et al. 2017, arXiv:1706.04599). Bins hold equal numbers of images (Nixon et al. 2019,
arXiv:1904.01685), and equal probabilities are in one bin, so the order of images does not matter.

This estimate is too large: in a bin of few images the share that is right is off by chance, also
for a model without any error (Kumar et al. 2019, arXiv:1909.10155). So three things go with it:
the error that a model without any would have on the same images; an estimate from which most of
the bias is removed by the bootstrap, 2 x error - mean of the resampled errors; and an interval.
The percentiles of resampled errors are biased twice, and never include 0; the "basic" interval,
2 x error - percentiles, is not, but too short for few images (Efron and Tibshirani 1993, 10 and
13). The interval here includes both, and 0 where chance alone can make the error, unless the mean
probability is too far from the accuracy: no error is smaller than that distance. If all answers are
right, or all wrong, it is as much wider as the exact limit of the other answer's share;
`benchmarks/calibration_intervals.py` counts how often it holds the true error.

Arrays are (images,) or (units,) unless stated; a unit is an image or a video.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from effcam.metrics.intervals import FEWEST, TAIL, Array, share_interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_BINS = 15
"""As in Guo et al."""
IMAGES_IN_BIN = 20
"""The least images in a bin on average, if there is more than one bin."""
DRAWS = 1000
"""How many sets of answers, and of images, are drawn."""
EXACT = 2**14
"""Of more units than these, sums over bins are drawn from their normal distribution."""
ENDS = (TAIL, 1 - TAIL)
CHUNK = 2**22
"""The largest number of random numbers drawn at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Binned:
    """Predictions in bins of their probability.

    Attributes:
        probabilities: The probability of the most probable class, in [0, 1], ascending.
        right: Whether it is the true class, 0 or 1.
        units: int64, the unit of each image.
        starts: (bins,) the position of each bin's first image.
    """

    probabilities: Array
    right: Array
    units: NDArray[np.int64]
    starts: NDArray[np.intp]

    @property
    def counts(self) -> NDArray[np.intp]:
        """The number of images in each bin, (bins,)."""
        return np.diff(self.starts, append=len(self.right))

    def sums(self, values: Array) -> Array:
        """Return the sums over each bin of (..., images), (..., bins)."""
        return np.add.reduceat(values, self.starts, axis=-1)

    def error(self) -> float:
        """Return the expected calibration error."""
        gaps = self.sums(self.probabilities - self.right)
        return float(np.abs(gaps).sum() / len(self.right))


def usual_bins(images: int) -> int:
    """Return the number of bins for a number of images: 1 to 15, of 20 images at least.

    >>> [usual_bins(images) for images in (10, 50, 100, 1000)]
    [1, 2, 5, 15]
    """
    return max(1, min(MOST_BINS, images // IMAGES_IN_BIN))


def put_into_bins(
    probabilities: Array, right: Array, units: NDArray[np.int64], bins: int
) -> Binned:
    """Return predictions in bins of equal numbers of images; equal probabilities stay together."""
    order = np.argsort(probabilities, kind="stable")
    values = probabilities[order]
    edges = values[np.arange(1, bins) * len(values) // bins]
    starts = np.unique([0, *np.searchsorted(values, edges)])
    return Binned(values, right[order], units[order], starts)


def chance_errors(binned: Binned, rng: np.random.Generator) -> Array:
    """Return errors of a model that is right exactly as often as it says, (draws,)."""
    p, count = binned.probabilities, len(binned.right)
    if count > EXACT:
        deviations = np.sqrt(binned.sums(p * (1 - p)))
        gaps = rng.standard_normal((DRAWS, len(deviations))) * deviations
        return np.asarray(np.abs(gaps).sum(1) / count)
    found = []
    for draws in _chunks(DRAWS, count):
        answers = rng.random((draws, count), np.float32) < p
        found.append(np.abs(binned.sums(answers.astype(np.float32) - p)).sum(1) / count)
    return np.concatenate(found)


def resample(binned: Binned, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return errors and mean gaps on images that are drawn again with replacement.

    All images of a unit are drawn together. Bins are those of the images given. A gap is a
    probability minus 1 for right and 0 for wrong.

    Returns:
        (draws,) errors, and (draws,) means of the gaps of all images.
    """
    sums = _unit_sums(binned)
    units = len(sums)
    if units > EXACT:
        # The covariance of sums over units that are drawn independently.
        covariance = np.cov(sums, rowvar=False) * units
        drawn = rng.multivariate_normal(sums.sum(0), covariance, DRAWS, method="eigh")
        return _errors(drawn), _gaps(drawn)
    found = []
    for draws in _chunks(DRAWS, units):
        picked = rng.integers(units, size=(draws, units))
        picked += np.arange(draws)[:, None] * units
        times = np.bincount(picked.ravel(), minlength=draws * units).reshape(draws, units)
        found.append(times.astype(np.float64) @ sums)
    drawn = np.concatenate(found)
    return _errors(drawn), _gaps(drawn)


def _unit_sums(binned: Binned) -> Array:
    """Return, for each unit, the sum of probability - right in each bin, and its images.

    Returns:
        (units, bins + 1).
    """
    units, place = np.unique(binned.units, return_inverse=True)
    bins = np.repeat(np.arange(len(binned.starts)), binned.counts)
    sums = np.zeros((len(units), len(binned.starts) + 1))
    np.add.at(sums, (place, bins), binned.probabilities - binned.right)
    np.add.at(sums, (place, np.full(len(place), len(binned.starts))), 1.0)
    return sums


def _errors(sums: Array) -> Array:
    return np.asarray(np.abs(sums[:, :-1]).sum(1) / sums[:, -1])


def _gaps(sums: Array) -> Array:
    return np.asarray(sums[:, :-1].sum(1) / sums[:, -1])


def _chunks(draws: int, size: int) -> Iterator[int]:
    """Yield numbers of draws that sum up, none of more than `CHUNK` numbers."""
    most = max(1, CHUNK // max(size, 1))
    for start in range(0, draws, most):
        yield min(most, draws - start)


@dataclass(frozen=True, slots=True)
class ErrorRange:
    """What surrounds an error: what chance makes, and the estimate without bias.

    Attributes:
        expected: The mean error of a model without any, on the same probabilities.
        expected_low: The 2.5th percentile of its errors.
        expected_high: The 97.5th percentile.
        corrected: The error without most of its bias, in [0, 1].
        low: The lower end of the error's 95 % interval, NaN below six units.
        high: The upper end.
    """

    expected: float
    expected_low: float
    expected_high: float
    corrected: float
    low: float
    high: float


def error_range(binned: Binned, seed: int) -> ErrorRange:
    """Return what surrounds the error of binned predictions."""
    rng = np.random.default_rng(seed)
    error = binned.error()
    chance = chance_errors(binned, rng)
    expected_low, expected_high = map(float, np.quantile(chance, ENDS))
    errors, gaps = resample(binned, rng)
    corrected = float(np.clip(2 * error - errors.mean(), 0, 1))
    low = high = float("nan")
    if len(np.unique(binned.units)) >= FEWEST:
        below, above = map(float, np.quantile(errors, ENDS))
        low = max(min(below, 2 * error - above), 0.0) if error > expected_high else 0.0
        low = max(low, _least_gap(gaps))
        high = min(max(above, 2 * error - below), 1.0)
        margin = _unseen_share(binned)
        low, high = max(min(low, error - margin), 0.0), min(max(high, error + margin), 1.0)
    return ErrorRange(float(chance.mean()), expected_low, expected_high, corrected, low, high)


def _unseen_share(binned: Binned) -> float:
    """Return how many other answers there may be, as a share, if all that were seen are alike.

    Images that are drawn again are all right, too, if all are right, and so have no spread. The
    exact limit of the share of the other answer takes its place: an error changes by no more.
    """
    if binned.right.min() < binned.right.max():
        return 0.0
    units = np.array([float(len(np.unique(binned.units)))])
    return float(share_interval(np.zeros(1), units)[1][0])


def _least_gap(gaps: Array) -> float:
    """Return how far the mean gap is from 0 at least; no error is smaller than that.

    The tails are halved, because the error itself was already compared with chance.
    """
    low, high = map(float, np.quantile(gaps, (TAIL / 2, 1 - TAIL / 2)))
    return max(low, -high, 0.0)
