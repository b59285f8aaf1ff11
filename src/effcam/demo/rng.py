"""Random numbers that are the same on every machine and with every release of NumPy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

T = TypeVar("T")


class Chance:
    """Random numbers drawn from NumPy's raw bits.

    NumPy promises to keep the bits of a generator for a seed, not what it makes of them. What is
    made of them here takes only operations that IEEE 754 rounds exactly.

    >>> Chance(0, 1).between(2, 3) == Chance(0, 1).between(2, 3)
    True
    """

    def __init__(self, *seed: int) -> None:
        self._bits = np.random.PCG64(seed)

    def field(self, *shape: int) -> NDArray[np.float32]:
        """Return numbers from [0, 1): float32 of that shape."""
        raw = self._bits.random_raw(math.prod(shape)) >> np.uint64(40)
        return (raw.astype(np.float32) * np.float32(2.0**-24)).reshape(shape)

    def between(self, low: float, high: float) -> float:
        """Return a number from [low, high)."""
        return low + (high - low) * (int(self._bits.random_raw()) >> 11) * 2.0**-53

    def whole(self, low: int, high: int) -> int:
        """Return a whole number from low to high, both included."""
        return math.floor(self.between(low, high + 1))

    def happens(self, probability: float) -> bool:
        """Return whether something of that probability happens this time."""
        return self.between(0, 1) < probability

    def pick(self, things: Sequence[T]) -> T:
        """Return one of several things."""
        return things[self.whole(0, len(things) - 1)]

    def direction(self) -> tuple[float, float]:
        """Return a point on the unit circle, found without sines, which machines round apart."""
        while True:
            x, y = self.between(-1, 1), self.between(-1, 1)
            length = math.sqrt(x * x + y * y)
            if 0.1 < length <= 1:
                return x / length, y / length
