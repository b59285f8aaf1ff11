"""How sure a mean over images is: paired bootstrap intervals.

Images are drawn anew with replacement, the same draws for every column, so that what makes one
image harder than another cancels out of the differences. Source: Efron and Tibshirani 1993, An
Introduction to the Bootstrap, chapter 13 (percentile intervals).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

DRAWS = 1000
SEED = 0
CONFIDENCE = 0.95
FEWEST = 2
"""Fewer images than these give no interval."""
AT_ONCE = 4_000_000  # weights of draws that are held at once

Statistic = Callable[["NDArray[np.float64]"], "NDArray[np.float64]"]


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """Means over images, one a column, with their 95 % intervals.

    Attributes:
        values: (columns,), NaN where no image has a value.
        low: (columns,), the lower ends; NaN where fewer than two images have a value.
        high: (columns,), the upper ends.
        counts: (columns,) int64, how many images have a value.
        difference_low: (columns, columns), the lower ends for ``values[i] - values[j]``, over the
            images that have a value in both columns.
        difference_high: (columns, columns), the upper ends.
    """

    values: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    counts: NDArray[np.int64]
    difference_low: NDArray[np.float64]
    difference_high: NDArray[np.float64]


def estimate(
    samples: NDArray[np.float64], *, draws: int = DRAWS, seed: int = SEED, block: int = 1
) -> Estimate:
    """Return the mean of each column, with intervals.

    Args:
        samples: (images, columns), NaN where there is no value.
        draws: How often the images are drawn anew.
        seed: Where the random numbers start.
        block: How many images that follow each other are drawn together, the first one after the
            last: more than one where neighbours are alike (the circular block bootstrap, Politis
            and Romano 1992).
    """
    valid = np.isfinite(samples)
    filled = np.where(valid, samples, 0.0)
    columns = samples.shape[1]
    first, second = np.triu_indices(columns, 1)
    both = valid[:, first] & valid[:, second]
    gaps = np.where(both, filled[:, first] - filled[:, second], 0.0)
    kept, totals = np.hstack([valid, both]).astype(np.float64), np.hstack([filled, gaps])
    means = np.concatenate(
        [
            _ratio(weights @ totals, weights @ kept)
            for weights in _draw(len(samples), draws, seed, block)
        ]
    )
    low, high = _ends(means, kept.sum(0))
    values = _ratio(filled.sum(0), valid.sum(0).astype(np.float64))
    return _estimate(values, low, high, valid.sum(0), columns)


def estimate_by(
    samples: NDArray[np.float64], statistic: Statistic, *, draws: int = DRAWS, seed: int = SEED
) -> Estimate:
    """Return a figure that is a function of sums over images, with intervals.

    Args:
        samples: (images, columns, ...), counts that add up over images.
        statistic: Returns the (..., columns) figures of (..., columns, ...) sums.
        draws: How often the images are drawn anew.
        seed: Where the random numbers start.
    """
    images = len(samples)
    flat = samples.reshape(images, -1)
    drawn = np.concatenate(
        [
            statistic((weights @ flat).reshape(-1, *samples.shape[1:]))
            for weights in _draw(images, draws, seed)
        ]
    )
    return estimate_from_draws(statistic(samples.sum(0)), drawn, images)


def estimate_from_draws(
    values: NDArray[np.float64], drawn: NDArray[np.float64], images: int
) -> Estimate:
    """Return a figure with the intervals of its draws.

    Args:
        values: (columns,), the figure over all images.
        drawn: (draws, columns), the figure over each draw of the images.
        images: The number of images.
    """
    columns = len(values)
    first, second = np.triu_indices(columns, 1)
    means = np.hstack([drawn, drawn[:, first] - drawn[:, second]])
    low, high = _ends(means, np.full(means.shape[1], images))
    return _estimate(values, low, high, np.full(columns, images), columns)


def block_length(images: int) -> int:
    """Return how many neighbours to draw together: the cube root of how many there are.

    So it grows with what can be told of how far likeness reaches: Künsch 1989.
    """
    return max(1, round(math.cbrt(images)))


def _draw(images: int, draws: int, seed: int, block: int = 1) -> Iterator[NDArray[np.float64]]:
    """Yield (some draws, images): how often each image is in each draw."""
    chunk = max(1, AT_ONCE // max(images, 1))
    for start in range(0, draws, chunk):
        yield _weights(images, min(chunk, draws - start), seed + start, block)


@lru_cache(maxsize=2)
def _weights(images: int, draws: int, seed: int, block: int) -> NDArray[np.float64]:
    # Of no images there is one draw: nothing.
    starts = np.random.default_rng(seed).integers(max(images, 1), size=(draws, -(-images // block)))
    picked = (starts[..., None] + np.arange(block)).reshape(draws, -1)[:, :images]
    picked %= max(images, 1)
    picked += images * np.arange(draws)[:, None]
    weights = np.bincount(picked.ravel(), minlength=draws * images)
    return weights.reshape(draws, images).astype(np.float64)


def _ratio(total: NDArray[np.float64], count: NDArray[np.float64]) -> NDArray[np.float64]:
    means = np.full(total.shape, np.nan)
    np.divide(total, count, out=means, where=count > 0)
    return means


def _ends(
    means: NDArray[np.float64], counts: NDArray[np.number]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ends of each (draws, n) mean's interval, NaN where too few images count."""
    tail = 100 * (1 - CONFIDENCE) / 2
    ends = np.full((2, means.shape[1]), np.nan)
    told = np.asarray(counts >= FEWEST) & np.isfinite(means).any(0)
    if told.any():
        # A draw may hold none of the few images that have a value.
        ends[:, told] = np.nanpercentile(means[:, told], [tail, 100 - tail], axis=0)
    return ends[0], ends[1]


def _estimate(
    values: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    counts: NDArray[np.int64],
    columns: int,
) -> Estimate:
    first, second = np.triu_indices(columns, 1)
    difference_low = np.full((columns, columns), np.nan)
    difference_high = difference_low.copy()
    difference_low[first, second], difference_high[first, second] = low[columns:], high[columns:]
    difference_low[second, first], difference_high[second, first] = -high[columns:], -low[columns:]
    return Estimate(values, low[:columns], high[:columns], counts, difference_low, difference_high)
