"""The parts of a summary: figures, measures, facts and differences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import numpy as np

from effcam.errors import ArgumentError
from effcam.metrics.inference import ANY, Range
from effcam.metrics.significance import LEVEL

if TYPE_CHECKING:
    from numpy.typing import NDArray

MODEL = "model"
"""The first group, which has the facts."""

NONE = "-"

ARROWS = {"higher": " ↑", "lower": " ↓", None: ""}

Unit: TypeAlias = Literal["%", "", "ms", "M", "G"]
Spread: TypeAlias = Literal["interval", "batches"]

SPREADS: dict[Spread, str] = {
    "interval": "95 % interval",
    "batches": "10th and 90th percentile of batches",
}


class _Unit(NamedTuple):
    """The factor by which a value is shown, and the unit of the value itself."""

    factor: float
    raw: str


UNITS: dict[Unit, _Unit] = {
    "": _Unit(1, "as shown"),
    "%": _Unit(100, "shares from 0 to 1"),
    "ms": _Unit(1000, "seconds"),
    "M": _Unit(1e-6, "units, not millions"),
    "G": _Unit(1e-9, "units, not billions"),
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a model: its names, and how its values are shown.

    Attributes:
        key: Its name in code and in files.
        title: Its name in tables.
        group: Its table.
        better: The better direction, ``None`` if there is none.
        unit: The unit shown: ``%`` for a share in [0, 1], ``ms`` for seconds, ``M`` and ``G`` for
            millions and billions.
        digits: The number of decimals shown.
        explains: One sentence that defines it.
        possible: The possible values of one image.
        listed: Whether it is in the tables, and not only in JSON and CSV.
        tested: Whether columns are compared, so that the best ones are marked.

    >>> area = Figure("effective_area", "effective area", "focus", "lower", "%")
    >>> area.heading, area.show(0.3124, unit=True)
    ('effective area, % ↓', '31.2 %')
    """

    key: str
    title: str
    group: str
    better: Literal["higher", "lower"] | None = None
    unit: Unit = ""
    digits: int = 1
    explains: str = ""
    possible: Range = ANY
    listed: bool = True
    tested: bool = True

    @property
    def heading(self) -> str:
        """The title, the unit, and an arrow in the better direction."""
        return self.title + (self.unit and f", {self.unit}") + ARROWS[self.better]

    @property
    def factor(self) -> float:
        """The factor from a value to the unit shown."""
        return UNITS[self.unit].factor

    def show(self, value: float, *, unit: bool = False) -> str:
        """Return a value as text, optionally with its unit; ``-`` for NaN."""
        if math.isnan(value):
            return NONE
        number = f"{value * self.factor:z.{self.digits}f}"
        return f"{number} {self.unit}" if unit and self.unit else number

    def interval(self, low: float, high: float) -> str:
        """Return an interval as text, empty if an end is NaN."""
        if math.isnan(low) or math.isnan(high):
            return ""
        return f"[{self.show(low)}, {self.show(high)}]"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measure:
    """A figure of every column, with intervals. Arrays are copied and read-only.

    Attributes:
        figure: The figure.
        values: (columns,) float64, NaN where there is none.
        low: (columns,) float64 lower ends of the 95 % intervals, NaN where there is none.
        high: (columns,) float64 upper ends, likewise.
        counts: (columns,) int64, the number of images; 0 for figures of the model itself.
        units: (columns,) int64, the number of images, or of videos whose frames they are.
        baselines: The figure of each baseline, such as uniform or random maps, by name.
        difference_low: (columns, columns) float64 lower ends of the 95 % intervals of
            ``values[i] - values[j]``, NaN where there is none. One triangle is enough.
        difference_high: (columns, columns) float64 upper ends, likewise.
        p_values: (columns, columns) float64 of the tests that two columns do not differ, corrected
            for the number of pairs of this figure (Holm), NaN where there is none. One triangle
            is enough.
        spread: Whether ``low`` and ``high`` are the ends of 95 % intervals, or hold the middle
            80 % of the batches of images.

    Raises:
        ArgumentError: If an array has another shape.

    >>> area = Figure("effective_area", "effective area", "focus", "lower", "%")
    >>> measure = Measure(
    ...     figure=area,
    ...     values=np.array([0.31, 0.12, 0.13]),
    ...     p_values=np.array([[1, 0.001, 0.001], [0.001, 1, 0.4], [0.001, 0.4, 1]]),
    ... )
    >>> measure.best(), measure.among_best(), measure.tells_apart(0, 1)
    (1, (1, 2), True)
    """

    figure: Figure
    values: NDArray[np.float64]
    low: NDArray[np.float64] = None  # type: ignore[assignment]  # an array from here on
    high: NDArray[np.float64] = None  # type: ignore[assignment]
    counts: NDArray[np.int64] = None  # type: ignore[assignment]
    units: NDArray[np.int64] = None  # type: ignore[assignment]
    baselines: Mapping[str, float] = field(default_factory=dict)
    difference_low: NDArray[np.float64] = None  # type: ignore[assignment]
    difference_high: NDArray[np.float64] = None  # type: ignore[assignment]
    p_values: NDArray[np.float64] = None  # type: ignore[assignment]
    spread: Spread = "interval"

    def __post_init__(self) -> None:
        columns = len(self.values)
        for name in ("values", "low", "high"):
            self._set_array(name, (columns,), np.nan)
        for name in ("counts", "units"):
            self._set_array(name, (columns,), 0)
        for name in ("difference_low", "difference_high", "p_values"):
            self._set_array(name, (columns, columns), np.nan)
        low, high = self.difference_low, self.difference_high
        # The opposite difference has the same interval, negated.
        object.__setattr__(self, "difference_low", np.where(np.isnan(low), -high.T, low))
        object.__setattr__(self, "difference_high", np.where(np.isnan(high), -low.T, high))
        p_values = self.p_values
        object.__setattr__(self, "p_values", np.where(np.isnan(p_values), p_values.T, p_values))
        for name in ARRAYS:
            getattr(self, name).setflags(write=False)

    def _set_array(self, name: str, shape: tuple[int, ...], default: float) -> None:
        """Copy an attribute into an array; fill it with ``default`` if it was not given."""
        given = getattr(self, name)
        kind = np.int64 if name in ("counts", "units") else np.float64
        array = np.full(shape, default, kind) if given is None else np.array(given, kind)
        if array.shape != shape:
            raise ArgumentError(
                f"{name} of {self.figure.key!r} must have the shape {shape}, not {array.shape}"
            )
        object.__setattr__(self, name, array)

    def tells_apart(self, i: int, j: int) -> bool:
        """Return whether two columns differ significantly, at 5 % for all pairs of the figure.

        What was measured for each batch differs if the ranges of the batches do not overlap.
        """
        if self.spread == "batches":
            return bool(self.high[i] < self.low[j] or self.high[j] < self.low[i])
        return bool(self.p_values[i, j] <= LEVEL)

    @property
    def sampled(self) -> bool:
        """Whether other images or another run would give other values."""
        tested = bool(np.isfinite(self.p_values).any())
        return tested or self.spread == "batches" or bool(self.counts.any())

    def best(self) -> int | None:
        """Return the column of the best value, the first of several.

        ``None`` if there is no value, or no better direction, or columns are not compared.
        """
        figure = self.figure
        if figure.better is None or not figure.tested or np.isnan(self.values).all():
            return None
        pick = np.nanargmax if self.figure.better == "higher" else np.nanargmin
        return int(pick(self.values))

    def among_best(self) -> tuple[int, ...]:
        """Return the best column and those not significantly different from it.

        Columns that were not compared with the best are included. A figure that is exact, such as
        a number of parameters, needs no test: only columns of an equal value are.
        """
        best = self.best()
        if best is None:
            return ()
        return tuple(
            column
            for column, value in enumerate(self.values)
            if value == self.values[best]
            or (self.sampled and not np.isnan(value) and not self.tells_apart(best, column))
        )

    def winners(self) -> tuple[int, ...]:
        """Return the columns of `among_best` to mark.

        There are none if these are all columns, or if there is no test of the best column against
        another one. Of times, the best alone is marked, if its range overlaps with no other.
        """
        among, known = self.among_best(), positions(np.isfinite(self.values))
        if len(among) == len(known) or (self.sampled and not self._tests_best(known)):
            return ()
        return () if self.spread == "batches" and len(among) > 1 else among

    def _tests_best(self, known: Sequence[int]) -> bool:
        """Return whether the best column is compared with all others that have a value."""
        best = self.best()
        return best is not None and all(at == best or self.compared(best, at) for at in known)

    def compared(self, i: int, j: int) -> bool:
        """Return whether two columns have values, and there is a test of their difference."""
        if self.spread == "batches":
            return bool(np.isfinite([self.low[i], self.low[j]]).all())
        return bool(np.isfinite([self.values[i], self.values[j], self.p_values[i, j]]).all())


ARRAYS = (
    "values", "low", "high", "counts", "units", "difference_low", "difference_high", "p_values",
)  # fmt: skip
"""The arrays of a measure."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact of every column, as text: its target layer, its grid, its input size.

    Attributes:
        title: The name of the fact.
        texts: One per column.
    """

    title: str
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference of two columns in a figure.

    Attributes:
        figure: The figure.
        one: The label of the first column.
        other: The label of the second.
        value: The value of the first minus that of the second.
        low: The lower end of its 95 % interval, NaN if there is none.
        high: The upper end.

    >>> area = Figure("effective_area", "effective area", "focus", "lower", "%")
    >>> print(Difference(area, "alexnet", "EB0", 0.19, 0.15, 0.23))
    effective area: alexnet is 19.0 percentage points higher than EB0, 95 % interval [15.0, 23.0]
    """

    figure: Figure
    one: str
    other: str
    value: float
    low: float
    high: float

    def __str__(self) -> str:
        show, up = self.figure.show, self.value >= 0
        ends = (self.low, self.high) if up else (-self.high, -self.low)
        # A share of 40 % is 10 percentage points above one of 30 %, but 33 % larger.
        points = " percentage points" if self.figure.unit == "%" else ""
        amount = show(abs(self.value)) + points if points else show(abs(self.value), unit=True)
        interval = self.figure.interval(*ends)
        return (
            f"{self.figure.title}: {self.one} is {amount} {'higher' if up else 'lower'} than "
            f"{self.other}" + (f", 95 % interval {interval}" if interval else "")
        )


def baseline_names(measures: Sequence[Measure]) -> list[str]:
    """Return the names of the measures' baselines, each once."""
    return list(dict.fromkeys(name for measure in measures for name in measure.baselines))


def positions(chosen: NDArray[np.bool_]) -> list[int]:
    """Return the positions of true values."""
    return [int(column) for column in np.flatnonzero(chosen)]
