"""Intervals of figures that are measured on scenes: the bootstrap over the scenes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

DRAWS = 2000


class Estimate(NamedTuple):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    def text(self, decimals: int = 2) -> str:
        """Return it as "0.52 [0.48, 0.57]"."""
        value, low, high = (f"{each:.{decimals}f}" for each in self)
        return f"{value} [{low}, {high}]"


def over_scenes(figure: Callable[..., float], *values: NDArray[Any], seed: int = 0) -> Estimate:
    """Return a figure of scenes with its 95 % interval, from the percentile bootstrap.

    Args:
        figure: The figure of all scenes, from the values.
        values: Arrays whose first axis is the scenes; the same scenes are drawn from each.
        seed: That of the draws.
    """
    rng = np.random.default_rng(seed)
    count = len(values[0])
    chosen = rng.integers(0, count, (DRAWS, count))
    drawn = [figure(*(each[row] for each in values)) for row in chosen]
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Estimate(figure(*values), float(low), float(high))


def mean(values: NDArray[Any]) -> float:
    """Return the mean of all values that are not NaN."""
    return float(np.nanmean(values))


def times_chance(hits: NDArray[Any], chance: NDArray[Any]) -> float:
    """Return how many times as often a hit is as by chance: the ratio of the means."""
    return float(np.nanmean(hits) / np.nanmean(chance))
