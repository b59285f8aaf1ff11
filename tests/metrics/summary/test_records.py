"""Figures and measures: the best column, significant differences, and values as text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from effcam.errors import ArgumentError
from effcam.metrics.summary import Difference, Fact, Figure, Measure, Summary

AREA = Figure("effective_area", "effective area", "focus", "lower", "%")


def exact(figure: Figure, values: list[float]) -> Measure:
    return Measure(figure=figure, values=np.array(values))


# The best, and significant differences


def pair(low: float, high: float, better: Any = "higher") -> Measure:
    """Return columns of 0.5 and 0.4 with an interval of their difference."""
    nothing = np.full((2, 2), np.nan)
    below, above = nothing.copy(), nothing.copy()
    below[0, 1], above[0, 1] = low, high
    return Measure(
        figure=Figure("k", "title", "focus", better),
        values=np.array([0.5, 0.4]),
        difference_low=below,
        difference_high=above,
    )


@pytest.mark.parametrize(
    ("low", "high", "apart"),
    [
        (0.01, 0.2, True),
        (-0.2, -0.01, True),
        (-0.01, 0.2, False),
        (0.0, 0.2, False),
        (-0.2, 0.0, False),
        (np.nan, np.nan, False),
    ],
)
def test_columns_differ_only_if_the_interval_excludes_zero(
    low: float, high: float, apart: bool
) -> None:
    measure = pair(low, high)
    assert measure.tells_apart(0, 1) is apart
    assert measure.tells_apart(1, 0) is apart


def test_one_triangle_of_differences_is_mirrored_with_its_sign() -> None:
    measure = pair(0.02, 0.3)
    assert (measure.difference_low[1, 0], measure.difference_high[1, 0]) == (-0.3, -0.02)


@pytest.mark.parametrize(("better", "best"), [("higher", 0), ("lower", 1), (None, None)])
def test_best_goes_by_the_better_side(better: Any, best: int | None) -> None:
    assert pair(0.01, 0.2, better).best() == best


def test_best_ignores_nan_and_is_none_of_nothing() -> None:
    figure = Figure("k", "t", "g", "lower")
    assert exact(figure, [np.nan, 3.0, 2.0]).best() == 2
    assert exact(figure, [np.nan, np.nan]).best() is None
    assert exact(figure, [np.nan, np.nan]).among_best() == ()


def test_among_best_includes_columns_that_do_not_differ() -> None:
    assert pair(-0.01, 0.2).among_best() == (0, 1)
    assert pair(0.01, 0.2).among_best() == (0,)


def test_without_intervals_only_equal_values_are_among_the_best() -> None:
    figure = Figure("k", "t", "g", "higher")
    assert exact(figure, [2.0, 1.999, 2.0, np.nan]).among_best() == (0, 2)


def test_a_column_without_value_is_never_among_the_best() -> None:
    wide = np.full((3, 3), 9.0)
    measure = Measure(
        figure=AREA,
        values=np.array([0.1, np.nan, 0.2]),
        difference_low=-wide,
        difference_high=wide,
    )
    assert measure.among_best() == (0, 2)


def test_no_column_stands_out_where_all_are_among_the_best() -> None:
    assert pair(-0.01, 0.2).winners() == ()
    assert pair(0.01, 0.2).winners() == (0,)
    assert exact(AREA, [0.2]).winners() == ()


def test_arrays_are_copied_and_cannot_be_written() -> None:
    values = np.array([1.0, 2.0])
    measure = Measure(figure=AREA, values=values)
    values[0] = 5
    assert measure.values[0] == 1
    with pytest.raises(ValueError, match="read-only"):
        measure.values[0] = 3


def test_wrong_shapes_are_refused_with_both_shapes() -> None:
    with pytest.raises(ArgumentError, match=r"low of 'effective_area' .*\(2,\), not \(3,\)"):
        Measure(figure=AREA, values=np.zeros(2), low=np.zeros(3))
    with pytest.raises(ArgumentError, match=r"difference_low .*\(2, 2\), not \(2,\)"):
        Measure(figure=AREA, values=np.zeros(2), difference_low=np.zeros(2))
    with pytest.raises(ArgumentError, match="'grid' has 1 entries, but there are 2 columns"):
        Summary(columns=("a", "b"), images=1, used=1, facts=(Fact("grid", ("7 x 7",)),))


# Values as text


@pytest.mark.parametrize(
    ("unit", "digits", "value", "text"),
    [
        ("%", 1, 0.3124, "31.2 %"),
        ("", 3, 0.5, "0.500"),
        ("ms", 1, 0.0021, "2.1 ms"),
        ("M", 1, 61.1e6, "61.1 M"),
        ("G", 2, 0.714e9, "0.71 G"),
        ("%", 1, float("nan"), "-"),
        ("%", 1, -0.0001, "0.0 %"),
        ("", 0, 12.0, "12"),
    ],
)
def test_units_scale_what_is_shown(unit: Any, digits: int, value: float, text: str) -> None:
    assert Figure("k", "t", "g", None, unit, digits).show(value, unit=True) == text


def test_difference_reads_as_a_sentence_in_both_directions() -> None:
    up = Difference(AREA, "a", "b", 0.1, 0.05, 0.16)
    down = Difference(AREA, "a", "b", -0.1, -0.16, -0.05)
    end = "95 % interval [5.0, 16.0]"
    assert str(up) == f"effective area: a is 10.0 percentage points higher than b, {end}"
    assert str(down) == f"effective area: a is 10.0 percentage points lower than b, {end}"
    time = Figure("time", "time", "model", "lower", "ms")
    assert "a is 5.0 ms higher than b" in str(Difference(time, "a", "b", 0.005, 0.001, 0.009))
